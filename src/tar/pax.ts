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
    if (key.includes('\0')) throw corrupt('a PAX record has a key with a NUL', offset + at)
    if (isWanted(key)) {
      const value = data.subarray(equal + 1, end - 1)
      if ((key === 'path' || key === 'linkpath') && value.includes(0)) {
        throw corrupt(`PAX record ${key} has a NUL`, offset + at)
      }
      records.set(key, value)
    }
    at = end
  }
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

function isWanted(key: string): boolean {
  switch (key) {
    case 'path':
    case 'linkpath':
    case 'size':
    case 'uid':
    case 'gid':
    case 'mtime':
      return true
    default:
      return (
        key.startsWith('SCHILY.xattr.') ||
        key.startsWith('LIBARCHIVE.xattr.') ||
        key.startsWith('GNU.sparse.')
      )
  }
}
