import { createGzip, crc32, deflateRawSync } from 'node:zlib'

export interface HeaderFields {
  readonly extra?: Buffer
  readonly name?: string
  readonly comment?: string
  readonly headerCrc?: boolean
}

/** One gzip member with any of the optional header fields of RFC 1952. */
export function gzipMember(content: Buffer, fields: HeaderFields = {}): Buffer {
  const { extra, name, comment, headerCrc = false } = fields
  const flags =
    (headerCrc ? 2 : 0) | (extra ? 4 : 0) | (name === undefined ? 0 : 8) | (comment === undefined ? 0 : 16)
  const parts: Buffer[] = [Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3])]
  if (extra) parts.push(Buffer.from([extra.length & 255, extra.length >> 8]), extra)
  if (name !== undefined) parts.push(Buffer.from(`${name}\0`, 'latin1'))
  if (comment !== undefined) parts.push(Buffer.from(`${comment}\0`, 'latin1'))
  const header = Buffer.concat(parts)
  const check = Buffer.alloc(2)
  check.writeUInt16LE(crc32(header) & 0xffff)
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc32(content), 0)
  trailer.writeUInt32LE(content.length % 2 ** 32, 4)
  return Buffer.concat([header, ...(headerCrc ? [check] : []), deflateRawSync(content), trailer])
}

/** One gzip member that is flushed every so many bytes, as pigz does between its blocks. */
export async function gzipWithFlushes(content: Buffer, everyBytes: number, flush: number): Promise<Buffer> {
  const gzip = createGzip()
  const parts: Buffer[] = []
  gzip.on('data', (part: Buffer) => parts.push(part))
  const ended = new Promise((resolve) => gzip.on('end', resolve))
  for (let offset = 0; offset < content.length; offset += everyBytes) {
    gzip.write(content.subarray(offset, offset + everyBytes))
    await new Promise<void>((resolve) => {
      gzip.flush(flush, resolve)
    })
  }
  gzip.end()
  await ended
  return Buffer.concat(parts)
}
