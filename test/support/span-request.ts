import type { SpanEvent, SpanRequest } from '../../src/native.js'

/** What inflates a whole span of a blob in memory by itself, its CRC-32 checked. */
export function spanRequest(blob: Buffer, span: SpanEvent, changes: Partial<SpanRequest> = {}): SpanRequest {
  return {
    input: blob.subarray(Math.floor(span.compressedBitOffset / 8), Math.ceil(span.compressedBitEnd / 8)),
    bitOffset: span.compressedBitOffset % 8,
    atHeader: span.atHeader,
    window: span.window,
    windowLength: span.windowLength,
    skipBytes: 0,
    lengthBytes: span.uncompressedLength,
    crc32: span.crc32,
    ...changes,
  }
}
