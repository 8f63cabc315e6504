import type { Codec } from './codec.js'
import { passSizes } from './pass-sizes.js'
import type { Span } from './seek-table.js'

/** Of deflate, where a literal takes 15 bits, and a match of three bytes 48; other codecs have less. */
const mostInputPerOutput = 2

/**
 * Whether a pass lets a span take so many compressed bytes, whatever the encoder does: a point is due after as many as
 * make the longest span, and only the block at hand may come on top of them. Who reads a span holds them all, but
 * for one within a zstd frame, which is decoded piece by piece from that frame's start.
 */
export function hasBoundedInput(span: Span, codec: Codec): boolean {
  if (codec === 'zstd' && !span.atHeader) return true
  const bits = span.compressedBitEnd - span.compressedBitOffset
  const most = 2 * passSizes[codec].maximumSpanBytes + mostInputPerOutput * span.uncompressedLength
  return bits >= 0 && bits <= 8 * most
}
