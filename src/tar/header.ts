/**
 * The fields of a header block that every tar has, in all formats: v7, ustar, star and GNU.
 *
 * tar-stream's codec is not used: its package does not export headers.js, and what can be reached of it (`extract`)
 * copies the whole content and gives names as strings, which loses bytes that are not UTF-8. Tests compare with it.
 */
import { blockBytes } from './block.js'
import { decodeNumber, tryDecodeNumber } from './numbers.js'

const ustarMagic = Buffer.from('ustar')
const gnuMagic = Buffer.from('ustar  \0')
const starTrailer = Buffer.from('tar\0')
const space = 0x20
const slash = 0x2f

export type HeaderFormat = 'v7' | 'ustar' | 'star' | 'gnu'

/** What follows 'ustar' is not looked at except for GNU's: some writers leave the version blank. */
export function headerFormat(block: Buffer): HeaderFormat {
  if (block[257] !== ustarMagic[0] || ustarMagic.compare(block, 257, 262) !== 0) return 'v7'
  if (gnuMagic.compare(block, 257, 265) === 0) return 'gnu'
  return starTrailer.compare(block, 508, 512) === 0 ? 'star' : 'ustar'
}

/** The sum of all bytes, the checksum's own taken as blanks; some old writers summed signed bytes. */
export function hasValidChecksum(block: Buffer): boolean {
  const stored = tryDecodeNumber(block, 148, 8)
  if (stored === undefined) return false
  let sum = 8 * space
  let high = 0
  for (let i = 0; i < 148; i++) {
    const byte = block[i] as number
    sum += byte
    high += byte >> 7
  }
  for (let i = 156; i < blockBytes; i++) {
    const byte = block[i] as number
    sum += byte
    high += byte >> 7
  }
  return stored === sum || stored === sum - 256 * high
}

/** The type flag, 'NUL' made '0'. */
export function headerType(block: Buffer): string {
  const flag = block[156] as number
  return flag === 0 ? '0' : String.fromCharCode(flag)
}

export function headerNumber(block: Buffer, field: keyof typeof numericFields, offset: number): number {
  const [start, length] = numericFields[field]
  return decodeNumber(block, start, length, field, offset)
}

const numericFields = {
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  'device major': [329, 8],
  'device minor': [337, 8],
  /** GNU sparse only. */
  'real size': [483, 12],
} as const

/** Prefix and name, as bytes. */
export function headerName(block: Buffer): Buffer {
  const nameEnd = stringEnd(block, 0, 100)
  const prefixEnd = headerPrefixEnd(block)
  if (prefixEnd === prefixStart) return copy(block, 0, nameEnd)
  const prefixLength = prefixEnd - prefixStart
  const name = Buffer.allocUnsafe(prefixLength + 1 + nameEnd)
  block.copy(name, 0, prefixStart, prefixEnd)
  name[prefixLength] = slash
  block.copy(name, prefixLength + 1, 0, nameEnd)
  return name
}

export function headerLinkName(block: Buffer): Buffer {
  return copy(block, 157, stringEnd(block, 157, 257))
}

const prefixStart = 345

function headerPrefixEnd(block: Buffer): number {
  if (block[prefixStart] === 0) return prefixStart
  switch (headerFormat(block)) {
    case 'v7':
      return prefixStart
    case 'ustar':
      return stringEnd(block, prefixStart, 500)
    case 'star':
      return stringEnd(block, prefixStart, 476)
    case 'gnu':
      return hasMistakenPrefix(block) ? stringEnd(block, prefixStart, 500) : prefixStart
  }
}

/**
 * GNU has times where ustar has its prefix. Go before 1.8, which made many of the older images, wrote a prefix there
 * all the same; Go's reader knows it by the times that are no numbers.
 */
function hasMistakenPrefix(block: Buffer): boolean {
  const timesAreNumbers =
    tryDecodeNumber(block, 345, 12) !== undefined &&
    (block[357] === 0 || tryDecodeNumber(block, 357, 12) !== undefined)
  if (timesAreNumbers) return false
  const end = stringEnd(block, prefixStart, 500)
  return block.subarray(prefixStart, end).every((byte) => byte < 0x80)
}

function stringEnd(block: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) if (block[at] === 0) return at
  return end
}

function copy(block: Buffer, start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end - start)
  block.copy(bytes, 0, start, end)
  return bytes
}
