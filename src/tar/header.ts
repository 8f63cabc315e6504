import { parseNumber } from './numbers.js'

/*
 * Decoded here and not by tar-stream, whose header codec its package does not export, and which turns names into
 * UTF-8 text, counts `mtime` in Date, takes 0x80 and 0xff as the only base-256 marks, refuses v7 headers by default and
 * signed checksums always.
 */

export const blockBytes = 512

/** Which fields beyond v7's there are. */
export type HeaderFormat = 'v7' | 'ustar' | 'gnu'

/** One header block as it stands, before extended headers. */
export interface Header {
  readonly format: HeaderFormat
  /** With ustar's prefix. */
  readonly name: Buffer
  readonly typeFlag: number
  readonly linkName: Buffer
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** As the field says, also of types that have no data. Undefined where it cannot be: negative, garbled, too big. */
  readonly size: number | undefined
  readonly mtime: number
  readonly deviceMajor: number
  readonly deviceMinor: number
}

const checksumStart = 148
const checksumEnd = 156
const magicStart = 257
const magic = Buffer.from('ustar', 'latin1')
const prefixStart = 345
const empty = Buffer.alloc(0)

/** Field names are POSIX's. All of `bytes` is copied. */
export function decodeHeader(bytes: Buffer, start: number): Header {
  const format = formatOf(bytes, start)
  const extended = format !== 'v7'
  const name = text(bytes, start, 100)
  return {
    format,
    name: format === 'ustar' ? withPrefix(bytes, start, name) : name,
    typeFlag: bytes[start + 156] as number,
    linkName: text(bytes, start + 157, 100),
    // Of these a garbled one is no reason to lose the layer.
    mode: (parseNumber(bytes, start + 100, 8) ?? 0) & 0o7777,
    uid: toId(parseNumber(bytes, start + 108, 8) ?? 0),
    gid: toId(parseNumber(bytes, start + 116, 8) ?? 0),
    size: notNegative(parseNumber(bytes, start + 124, 12)),
    mtime: parseNumber(bytes, start + 136, 12) ?? 0,
    deviceMajor: extended ? toDeviceNumber(parseNumber(bytes, start + 329, 8)) : 0,
    deviceMinor: extended ? toDeviceNumber(parseNumber(bytes, start + 337, 8)) : 0,
  }
}

/** The sum of unsigned bytes, as POSIX says, or of signed ones, as some old tars count. */
export function hasValidChecksum(bytes: Buffer, start: number): boolean {
  const expected = parseNumber(bytes, start + checksumStart, checksumEnd - checksumStart)
  if (expected === undefined) return false
  let sum = 0
  for (let at = start, end = start + blockBytes; at < end; at++) sum += bytes[at] as number
  for (let at = start + checksumStart; at < start + checksumEnd; at++) sum += 0x20 - (bytes[at] as number)
  if (sum === expected) return true
  for (let at = start, end = start + blockBytes; at < end; at++) {
    const isOfChecksum = at >= start + checksumStart && at < start + checksumEnd
    if (!isOfChecksum && (bytes[at] as number) >= 0x80) sum -= 256
  }
  return sum === expected
}

export function isZeroBlock(bytes: Buffer, start: number): boolean {
  for (let at = start, end = start + blockBytes; at < end; at++) if (bytes[at] !== 0) return false
  return true
}

/** GNU's own fields, at the place of ustar's prefix. */
export interface SparseFields {
  /** Undefined where the field cannot be a size. */
  readonly realSize: number | undefined
  /** Blocks with more of the map follow the header. */
  readonly isExtended: boolean
}

export function decodeSparseFields(bytes: Buffer, start: number): SparseFields {
  return {
    realSize: notNegative(parseNumber(bytes, start + 483, 12)),
    isExtended: bytes[start + 482] !== 0,
  }
}

/** Of a block that continues a GNU sparse map: whether there is one more. */
export function sparseMapContinues(bytes: Buffer, start: number): boolean {
  return bytes[start + 504] !== 0
}

/** A copy up to the first NUL. */
export function text(bytes: Buffer, start: number, length: number): Buffer {
  if (bytes[start] === 0 || length === 0) return empty
  let end = start
  while (end < start + length && bytes[end] !== 0) end++
  return Buffer.from(bytes.subarray(start, end))
}

/** As a 32-bit uid_t would hold it: -1 is 4294967295. What fits in none becomes the kernel's overflow id. */
export function toId(value: number): number {
  return value >= -0x8000_0000 && value <= 0xffff_ffff ? value >>> 0 : 65_534
}

export function toDeviceNumber(value: number | undefined): number {
  return value !== undefined && value >= 0 && value <= 0xffff_ffff ? value : 0
}

function notNegative(value: number | undefined): number | undefined {
  return value === undefined || value < 0 ? undefined : value
}

function formatOf(bytes: Buffer, start: number): HeaderFormat {
  const at = start + magicStart
  if (bytes.compare(magic, 0, magic.length, at, at + magic.length) !== 0) return 'v7'
  return bytes[at + 5] === 0x20 ? 'gnu' : 'ustar'
}

function withPrefix(bytes: Buffer, start: number, name: Buffer): Buffer {
  if (bytes[start + prefixStart] === 0) return name
  // star keeps times in the last 24 bytes of the prefix.
  const isStar = bytes.toString('latin1', start + 508, start + 512) === 'tar\0'
  const prefix = text(bytes, start + prefixStart, isStar ? 131 : 155)
  return Buffer.concat([prefix, Buffer.from('/'), name])
}
