import { deflateSync, inflateSync } from 'node:zlib'
import { RegistryFsError } from '../util/errors.js'
import type { Codec } from './codec.js'
import { SeekTable } from './seek-table.js'
import { hasBoundedInput } from './span-limits.js'
import { VarintReader, VarintWriter } from './varints.js'

/** The window of a span in the index file. */
export interface StoredWindow {
  readonly bytes: number
  readonly crc32: number
}

/** 4 TiB of tar; more is not ours. */
const maximumSpans = 1 << 22
/** Varints of the columns and two CRC-32s. */
const maximumBytesEach = 44

/**
 * Deflated: the number of spans, then columns, for what stands below each other is alike: where each begins in the blob,
 * in bits behind the end of the one before; its bits; its length in the tar; its window's length, and its window's bytes
 * in the file; flags; CRC-32s of 4 bytes, then those of the windows as they lie in the file. What is a varint is in
 * zero-codec.ts.
 */
export function encodeSpans(spans: SeekTable, windows: readonly StoredWindow[]): Buffer {
  const rows = Array.from({ length: spans.count }, (_, i) => spans.get(i))
  const writer = new VarintWriter().count(rows.length)
  let lastEnd = 0
  for (const { compressedBitOffset, compressedBitEnd } of rows) {
    writer.signed(compressedBitOffset - lastEnd)
    lastEnd = compressedBitEnd
  }
  for (const { compressedBitOffset, compressedBitEnd } of rows)
    writer.count(compressedBitEnd - compressedBitOffset)
  for (const { uncompressedLength } of rows) writer.count(uncompressedLength)
  for (const { windowLength } of rows) writer.count(windowLength)
  for (const { bytes } of windows) writer.count(bytes)
  const checksums = Buffer.alloc(8 * rows.length)
  for (const [i, { atHeader, zero, crc32 }] of rows.entries()) {
    writer.count((atHeader ? 1 : 0) | (zero ? 2 : 0))
    checksums.writeUInt32LE(crc32, 4 * i)
    checksums.writeUInt32LE(windows[i]?.crc32 ?? 0, 4 * (rows.length + i))
  }
  return deflateSync(writer.bytes(checksums).done(), { level: 9 })
}

export interface DecodedSpans {
  readonly spans: SeekTable
  readonly windows: readonly StoredWindow[]
}

/** CORRUPT for anything that `encodeSpans` does not write for such a blob. */
export function decodeSpans(
  payload: Buffer,
  { codec, blobBytes }: { readonly codec: Codec; readonly blobBytes: number },
): DecodedSpans {
  const reader = new VarintReader(
    inflateSync(payload, { maxOutputLength: maximumSpans * maximumBytesEach, chunkSize: 1 << 20 }),
    'index file: spans',
  )
  const count = reader.count(Math.min(maximumSpans, reader.left))
  const column = (read: () => number): readonly number[] => Array.from({ length: count }, read)
  const starts = column(() => reader.signed())
  const bits = column(() => reader.count(blobBytes * 8))
  const lengths = column(() => reader.count())
  const windowLengths = column(() => reader.count(32_768))
  const windowBytes = column(() => reader.count(0xffff))
  const flags = column(() => reader.count(3))
  const checksums = reader.bytes(8 * count)
  reader.end()
  if (checksums.length !== 8 * count) throw corrupt('a checksum is missing')

  const spans = new SeekTable()
  let lastEnd = 0
  let least = 0
  for (let i = 0; i < count; i++) {
    const compressedBitOffset = lastEnd + (starts[i] ?? 0)
    const compressedBitEnd = compressedBitOffset + (bits[i] ?? 0)
    if (compressedBitOffset < least) throw corrupt('they go back')
    if (compressedBitEnd > blobBytes * 8) throw corrupt('they go beyond the blob')
    if (codec !== 'gzip' && compressedBitOffset % 8 !== 0) throw corrupt('one begins within a byte')
    if (!Number.isSafeInteger(spans.uncompressedBytes + (lengths[i] ?? 0))) throw corrupt('they are too long')
    const span = {
      compressedBitOffset,
      compressedBitEnd,
      uncompressedOffset: spans.uncompressedBytes,
      uncompressedLength: lengths[i] ?? 0,
      crc32: checksums.readUInt32LE(4 * i),
      windowLength: windowLengths[i] ?? 0,
      atHeader: ((flags[i] ?? 0) & 1) !== 0,
      zero: ((flags[i] ?? 0) & 2) !== 0,
    }
    if (!hasBoundedInput(span, codec)) throw corrupt('one takes more than any encoder makes of it')
    spans.append(span)
    lastEnd = compressedBitEnd
    // Spans within one zstd frame all begin where it does.
    least = codec === 'zstd' ? compressedBitOffset : compressedBitEnd
  }
  const windows = windowBytes.map((bytes, i) => ({ bytes, crc32: checksums.readUInt32LE(4 * (count + i)) }))
  return { spans, windows }
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `index file: spans: ${reason}`)
}
