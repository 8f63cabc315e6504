import { opcodes } from '../../src/fuse/fuse-protocol.js'

type Field = number | bigint | string | Buffer

/** Little endian: a number is 32 bits, a bigint 64, a string Latin-1 with a NUL behind it. */
export function bytesOf(...fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (Buffer.isBuffer(field)) return field
      if (typeof field === 'string') return Buffer.from(`${field}\0`, 'latin1')
      const bytes = Buffer.alloc(typeof field === 'bigint' ? 8 : 4)
      if (typeof field === 'bigint') bytes.writeBigUInt64LE(field)
      else bytes.writeUInt32LE(field)
      return bytes
    }),
  )
}

/** No thread has it. */
export const nobody = 0x7fff_ffff

/** struct fuse_in_header and what follows it. */
export function requestBytes(
  opcode: keyof typeof opcodes | number,
  unique: number,
  inode: number,
  ...body: readonly Field[]
): Buffer {
  const rest = bytesOf(...body)
  const number = typeof opcode === 'number' ? opcode : opcodes[opcode]
  const [uid, gid, pid] = [1000, 1000, nobody]
  const header = bytesOf(40 + rest.length, number, BigInt(unique), BigInt(inode), uid, gid, pid, 0)
  return Buffer.concat([header, rest])
}
