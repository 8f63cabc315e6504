import type { PaxRecords } from './pax.js'

const schily = 'SCHILY.xattr.'
const libarchive = 'LIBARCHIVE.xattr.'

/**
 * The extended attributes of PAX records: SCHILY's as they are (GNU tar, star, Docker, containerd), libarchive's with
 * the name URL-encoded and the value in base64. bsdtar writes both; the plain one counts.
 */
export function xattrsOf(records: PaxRecords): ReadonlyMap<string, Buffer> | undefined {
  let xattrs: Map<string, Buffer> | undefined
  for (const [key, value] of records) {
    if (key.startsWith(libarchive)) {
      const name = decodeName(key.slice(libarchive.length))
      if (!records.has(schily + name)) {
        xattrs ??= new Map<string, Buffer>()
        xattrs.set(text(name), Buffer.from(value.toString('latin1'), 'base64'))
      }
    } else if (key.startsWith(schily)) {
      xattrs ??= new Map<string, Buffer>()
      xattrs.set(text(key.slice(schily.length)), Buffer.from(value))
    }
  }
  return xattrs
}

/** Keys of records are Latin-1, one character for each byte. */
function text(name: string): string {
  return Buffer.from(name, 'latin1').toString()
}

function decodeName(name: string): string {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
}
