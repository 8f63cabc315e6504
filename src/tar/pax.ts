/** PAX extended headers (POSIX.1-2024, pax): `LENGTH KEY=VALUE\n` again and again, LENGTH counting all of it. */
import { corrupt } from './corrupt.js'

/** By key; values are bytes as stored. Only those that describe a member here. */
export type PaxRecords = ReadonlyMap<string, Buffer>

const space = 0x20
const equals = 0x3d
const newline = 0x0a
const longestLength = 8

/** The values are views of `data`. `offset`: where it lies in the tar. */
export function decodePax(data: Buffer, offset: number): Map<string, Buffer> {
  const records = new Map<string, Buffer>()
  const regions: Buffer[] = []
  for (let at = 0; at < data.length;) {
    const blank = data.indexOf(space, at)
    const length = recordLength(data, at, blank)
    const end = at + (length ?? 0)
    if (length === undefined || end > data.length || end < blank + 3 || data[end - 1] !== newline) {
      throw corrupt('a PAX record has a wrong length', offset + at)
    }
    const equal = data.indexOf(equals, blank + 1)
    if (equal <= blank + 1 || equal >= end) throw corrupt('a PAX record has no key', offset + at)
    const key = data.toString('latin1', blank + 1, equal)
    if (isText(key) && data.subarray(equal + 1, end - 1).includes(0))
      throw corrupt(`PAX record ${key} has a NUL`, offset + at)
    if (key.includes('\0')) throw corrupt('a PAX record has a key with a NUL', offset + at)
    if (isWanted(key)) {
      const value = data.subarray(equal + 1, end - 1)
      records.set(key, value)
    } else if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      const isOffset = key === 'GNU.sparse.offset'
      if (isOffset !== (regions.length % 2 === 0)) throw corrupt('a sparse map is out of order', offset + at)
      regions.push(data.subarray(equal + 1, end - 1))
    }
    at = end
  }
  // Sparse files of version 0.0, whose keys come again and again, as version 0.1 has them.
  if (regions.length > 0)
    records.set('GNU.sparse.map', Buffer.from(regions.map((bytes) => bytes.toString('latin1')).join(',')))
  return records
}

function recordLength(data: Buffer, at: number, blank: number): number | undefined {
  if (blank <= at || blank - at > longestLength) return undefined
  const text = data.toString('latin1', at, blank)
  return /^\d+$/.test(text) ? Number(text) : undefined
}

export function encodePax(records: PaxRecords): Buffer {
  return Buffer.concat(
    [...records].map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')])
      let length = rest.length
      while (length !== rest.length + String(length).length) length = rest.length + String(length).length
      return Buffer.concat([Buffer.from(String(length)), rest])
    }),
  )
}

/** Local records on top of global ones; an empty value takes a global one back (but is a value of an xattr). */
export function mergePax(globals: PaxRecords, locals: PaxRecords): PaxRecords {
  if (globals.size === 0) return locals
  return locals.size === 0 ? globals : new Map([...globals, ...locals])
}

/** What may be said of all members at once: the few small things, and nothing of one file's content or attributes. */
export function globalPax(records: PaxRecords): PaxRecords {
  return new Map([...records].filter(([key]) => isPlain(key)))
}

function isText(key: string): boolean {
  return key === 'path' || key === 'linkpath' || key === 'uname' || key === 'gname'
}

function isWanted(key: string): boolean {
  return (
    isPlain(key) ||
    key.startsWith('SCHILY.xattr.') ||
    key.startsWith('LIBARCHIVE.xattr.') ||
    (key.startsWith('GNU.sparse.') && key !== 'GNU.sparse.offset' && key !== 'GNU.sparse.numbytes')
  )
}

function isPlain(key: string): boolean {
  switch (key) {
    case 'path':
    case 'linkpath':
    case 'size':
    case 'uid':
    case 'gid':
    case 'mtime':
      return true
    default:
      return false
  }
}
