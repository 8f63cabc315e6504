import { bytesSource } from './memory-images.js'
import { SliceSource } from '../../src/blob/slice-source.js'
import type { ByteSource } from '../../src/blob/source.js'
import { SparseSource } from '../../src/blob/sparse-source.js'
import { storedBytesOfMember, type TarMember } from '../../src/tar/member.js'

/** The content of a member as a reader has it, holes included. */
export function memberSource(tar: Buffer, member: TarMember): ByteSource {
  const stored = new SliceSource(bytesSource(tar), member.dataOffset, storedBytesOfMember(member))
  return member.sparse === undefined ? stored : new SparseSource(stored, member.size, member.sparse)
}

export async function memberContent(tar: Buffer, member: TarMember): Promise<Buffer> {
  return memberSource(tar, member).read(0, member.size)
}
