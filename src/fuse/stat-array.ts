import type { NodeAttributes } from '../image/image.js'
import { fileBlockBytes } from '../util/file-block.js'
import type { Attributes, Inode } from './binding.js'
import { encodeDevice, typeBits } from './mode.js'

/** fuse-native's struct stat: 18 numbers of 32 bits, larger ones as low and high half (its getStatArray and populate_stat). */
const fields = 18

/** libfuse's FUSE_UNKNOWN_INO. */
const unknownInode = 0xffffffff

/** What d_type and d_ino need; the rest stays 0. */
export function encodeEntryStat(type: NodeAttributes['type'], inode: Inode | undefined): Uint32Array {
  const stat = new Uint32Array(fields)
  stat[0] = typeBits[type]
  // 32 bits are all that it carries: after four thousand million nodes numbers repeat.
  stat[7] = inode ?? unknownInode
  return stat
}

export function encodeStat(attributes: Attributes): Uint32Array {
  const stat = encodeEntryStat(attributes.type, attributes.inode)
  stat[0] = typeBits[attributes.type] | (attributes.mode & 0o7777)
  stat[1] = attributes.uid
  stat[2] = attributes.gid
  setDouble(stat, 3, attributes.size)
  stat[6] = attributes.linkCount
  stat[8] = encodeDevice(attributes.deviceMajor, attributes.deviceMinor)
  stat[9] = fileBlockBytes
  setDouble(stat, 10, attributes.blocks)
  // Milliseconds, unsigned: what is finer, or before 1970, is lost in this binding.
  const milliseconds = attributes.mtimeSeconds * 1000 + Math.floor(attributes.mtimeNanoseconds / 1_000_000)
  for (const field of [12, 14, 16]) setDouble(stat, field, Math.max(0, milliseconds))
  return stat
}

function setDouble(stat: Uint32Array, field: number, value: number): void {
  stat[field] = value % 0x1_0000_0000
  stat[field + 1] = Math.floor(value / 0x1_0000_0000)
}
