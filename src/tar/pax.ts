import { RegistryFsError } from '../util/errors.js'
import { parseDecimal } from './numbers.js'

/** Values are bytes; keys are Latin-1 text of theirs. Only those with a meaning for us are kept. */
export type PaxRecords = ReadonlyMap<string, Buffer>

export const noPaxRecords: PaxRecords = new Map()

const schilyXattr = 'SCHILY.xattr.'
const libarchiveXattr = 'LIBARCHIVE.xattr.'

const knownKeys: ReadonlySet<string> = new Set([
  'path',
  'linkpath',
  'size',
  'uid',
  'gid',
  'mtime',
  'SCHILY.devmajor',
  'SCHILY.devminor',
  'GNU.sparse.major',
  'GNU.sparse.name',
  'GNU.sparse.map',
  'GNU.sparse.numblocks',
  'GNU.sparse.size',
  'GNU.sparse.realsize',
])

const space = 0x20
const equalsSign = 0x3d
const newline = 0x0a
/** Decimal digits of the longest record that a header may have. */
const maximumLengthDigits = 8

/**
 * Records as POSIX has them: `LENGTH KEY=VALUE\n`, LENGTH counting itself. Bytes, not text: values may be binary
 * (xattrs, `hdrcharset=BINARY`) and hold newlines. Later records of a key win. `offset` is the header's, for errors.
 */
export function parsePaxRecords(bytes: Buffer, offset: number): PaxRecords {
  const records = new Map<string, Buffer>()
  for (let at = 0; at < bytes.length;) {
    // Some writers fill up with NULs within the size they give.
    if (bytes[at] === 0) {
      if (bytes.subarray(at).every((byte) => byte === 0)) break
      throw corrupt('a PAX record without a length', offset)
    }
    const lengthEnd = bytes.subarray(at, at + maximumLengthDigits + 1).indexOf(space)
    const length = lengthEnd < 1 ? undefined : parseDecimal(bytes.subarray(at, at + lengthEnd))
    if (length === undefined || length < lengthEnd + 2 || length > bytes.length - at)
      throw corrupt('a PAX record with an impossible length', offset)
    const end = at + length
    const body = bytes.subarray(at + lengthEnd + 1, end - 1)
    const equals = body.indexOf(equalsSign)
    if (bytes[end - 1] !== newline || equals < 1) throw corrupt('a PAX record that is no KEY=VALUE', offset)
    const key = body.toString('latin1', 0, equals)
    if (isKnown(key)) records.set(key, Buffer.from(body.subarray(equals + 1)))
    at = end
  }
  for (const key of ['path', 'linkpath', 'GNU.sparse.name'])
    if (records.get(key)?.includes(0) === true) throw corrupt(`a PAX ${key} with a NUL in it`, offset)
  return records
}

/** A global header on top of those before: an empty value takes a record back. */
export function withGlobals(before: PaxRecords, records: PaxRecords): PaxRecords {
  const after = new Map([...before, ...records])
  for (const [key, value] of records) if (value.length === 0 && !isXattr(key)) after.delete(key)
  return after
}

/** How much memory they stand for, about. */
export function paxRecordsBytes(records: PaxRecords): number {
  let bytes = 0
  for (const [key, value] of records) bytes += key.length + value.length
  return bytes
}

/** A value; undefined where there is none, or an empty one, which gives the plain header's field back. */
export function findPaxValue(globals: PaxRecords, own: PaxRecords, key: string): Buffer | undefined {
  const value = own.get(key) ?? globals.get(key)
  return value === undefined || value.length === 0 ? undefined : value
}

/** Without the prefix. Both ways to write them at once, as bsdtar does, give each attribute once. */
export function xattrsOf(globals: PaxRecords, own: PaxRecords): ReadonlyMap<string, Buffer> | undefined {
  if (globals.size === 0 && own.size === 0) return undefined
  const encoded = new Map<string, Buffer>()
  const plain = new Map<string, Buffer>()
  for (const records of [globals, own]) {
    for (const [key, value] of records) {
      if (key.startsWith(schilyXattr)) plain.set(utf8(key.slice(schilyXattr.length)), value)
      else if (key.startsWith(libarchiveXattr)) {
        const name = decodeUrl(key.slice(libarchiveXattr.length))
        encoded.set(name, Buffer.from(value.toString('latin1'), 'base64'))
      }
    }
  }
  const xattrs = new Map([...encoded, ...plain])
  // The kernel takes names as C strings.
  for (const name of xattrs.keys()) if (name === '' || name.includes('\0')) xattrs.delete(name)
  return xattrs.size === 0 ? undefined : xattrs
}

function isKnown(key: string): boolean {
  return knownKeys.has(key) || isXattr(key)
}

function isXattr(key: string): boolean {
  return key.startsWith(schilyXattr) || key.startsWith(libarchiveXattr)
}

/** libarchive writes %XX for what is not printable, and for `%` and `=`. */
function decodeUrl(name: string): string {
  return utf8(
    name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  )
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8')
}

function corrupt(message: string, offset: number): RegistryFsError {
  return new RegistryFsError('CORRUPT', message, { offset })
}
