import type { PaxRecords } from './pax.js'

const schily = 'SCHILY.xattr.'
const libarchive = 'LIBARCHIVE.xattr.'
/** XATTR_NAME_MAX and XATTR_SIZE_MAX of Linux; no file can have more. */
const maximumNameBytes = 255
const maximumValueBytes = 65_536

/**
 * The extended attributes of PAX records: SCHILY's as they are (GNU tar, star, Docker, containerd), libarchive's with
 * the name URL-encoded and the value in base64. bsdtar writes both; the plain one counts.
 */
export function xattrsOf(records: PaxRecords): ReadonlyMap<string, Buffer> | undefined {
  const xattrs = new Map<string, Buffer>()
  for (const [key, value] of records) {
    const isPlain = key.startsWith(schily)
    if (!isPlain && !key.startsWith(libarchive)) continue
    const name = isPlain ? key.slice(schily.length) : decodeName(key.slice(libarchive.length))
    if (name === '' || name.length > maximumNameBytes || name.includes('\0')) continue
    if (!isPlain && records.has(schily + name)) continue
    // A copy: a view would keep the whole PAX header in memory.
    const bytes = isPlain ? Buffer.from(value) : Buffer.from(value.toString('latin1'), 'base64')
    if (bytes.length <= maximumValueBytes) xattrs.set(text(name), bytes)
  }
  return xattrs.size === 0 ? undefined : xattrs
}

/** Keys of records are Latin-1, one character for each byte. */
function text(name: string): string {
  return Buffer.from(name, 'latin1').toString()
}

function decodeName(name: string): string {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
}
