import { constants, crc32, deflateRawSync, gzipSync } from 'node:zlib'
import { skippableFrame } from './zstd-frames.js'

/** Deflate blocks that make no output, and begin and end on a byte: stored ones of 5 bytes, fixed ones of 10 bits. */
export const emptyBlocks = {
  stored: Buffer.from([0, 0, 0, 0xff, 0xff]),
  fixed: Buffer.from([2, 8, 0x20, 0x80, 0]),
} as const

export function repeated(unit: Buffer, bytes: number): Buffer {
  return Buffer.alloc(Math.ceil(bytes / unit.length) * unit.length, unit)
}

/** One gzip member: `empty` before, between and behind the pieces. */
export function memberAround(empty: Buffer, pieces: readonly Buffer[]): Buffer {
  const source = Buffer.concat(pieces)
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc32(source), 0)
  trailer.writeUInt32LE(source.length, 4)
  const flushed = { finishFlush: constants.Z_FULL_FLUSH }
  return Buffer.concat([
    Buffer.from('1f8b08000000000000ff', 'hex'),
    empty,
    ...pieces.flatMap((piece) => [deflateRawSync(piece, flushed), empty]),
    Buffer.from([3, 0]),
    trailer,
  ])
}

/** A gzip member for each piece, and empty ones of so many bytes between and around them. */
export function membersAround(emptyBytes: number, pieces: readonly Buffer[]): Buffer {
  const empty = repeated(gzipSync(Buffer.alloc(0)), emptyBytes)
  return Buffer.concat([empty, ...pieces.flatMap((piece) => [gzipSync(piece), empty])])
}

/** RFC 8878 3.1.1: a block of bytes as they are. */
function rawBlock(bytes: Buffer, isLast = false): Buffer {
  const head = Buffer.alloc(3)
  head.writeUIntLE((bytes.length << 3) | (isLast ? 1 : 0), 0, 3)
  return Buffer.concat([head, bytes])
}

/** One zstd frame: empty blocks before, between and behind the pieces, each of up to 128 KiB. */
export function frameAround(emptyBytes: number, pieces: readonly Buffer[]): Buffer {
  const empty = repeated(rawBlock(Buffer.alloc(0)), emptyBytes)
  return Buffer.concat([
    // A window of 1 MiB, nothing else.
    Buffer.from('28b52ffd0050', 'hex'),
    empty,
    ...pieces.flatMap((piece) => [rawBlock(piece), empty]),
    rawBlock(Buffer.alloc(0), true),
  ])
}

/** A zstd frame for each piece; between and around them skippable ones, or empty ones. */
export function framesAround(
  emptyBytes: number,
  pieces: readonly Buffer[],
  kind: 'skippable' | 'empty',
): Buffer {
  const empty =
    kind === 'skippable' ? skippableFrame(Buffer.alloc(emptyBytes)) : repeated(frameAround(0, []), emptyBytes)
  return Buffer.concat([empty, ...pieces.flatMap((piece) => [frameAround(0, [piece]), empty])])
}
