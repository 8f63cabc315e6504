import type { NodeAttributes } from '../image/image.js'

/** S_IFMT bits, inode(7). */
export const typeBits: Readonly<Record<NodeAttributes['type'], number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  fifo: 0o010000,
}

/** The kernel's new_encode_dev, which is also what glibc's makedev gives in its lower 32 bits. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}
