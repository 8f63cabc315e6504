/**
 * Tar members as compact bytes, for the member table, the index file and the journal. Numbers are varints (LEB128); what
 * few members have is announced in the flags. Each member stands for itself, so that any can be read without the ones
 * before it; what they have in common is left to the compression of index and journal, which also check these bytes.
 *
 *   count, then per member:
 *   type | flags << 3, name, mode, headerOffset, dataOffset - headerOffset, mtimeSeconds (zigzag), and as flagged:
 *   size, linkName, uid and gid, mtimeNanoseconds, device major and minor, xattrs, why unsupported,
 *   sparse map: number of regions, of each the gap before it and its length
 */
import { memberTypes, type TarMember } from '../tar/member.js'
import { RegistryFsError } from '../util/errors.js'
import { MemberCursor } from './member-cursor.js'
import { memberFlags, minimumMemberBytes, typeBits } from './member-format.js'
import { VarintWriter } from './varints.js'

export function encodeMembers(members: readonly TarMember[]): Buffer {
  const writer = new VarintWriter()
  writer.count(members.length)
  for (const member of members) encodeMember(writer, member)
  return writer.done()
}

/** CORRUPT for anything that `encodeMembers` does not write. */
export function decodeMembers(bytes: Buffer): TarMember[] {
  const cursor = new MemberCursor(bytes)
  const members: TarMember[] = []
  for (let left = cursor.count(Math.floor(bytes.length / minimumMemberBytes)); left > 0; left--) {
    cursor.next()
    members.push(cursor.member())
  }
  if (!cursor.isAtEnd) throw new RegistryFsError('CORRUPT', 'members: something follows them')
  return members
}

export function encodeMember(writer: VarintWriter, member: TarMember): void {
  const present = flagsOf(member)
  writer.count(memberTypes.indexOf(member.type) + present * (1 << typeBits))
  writer.bytes(member.name)
  writer.count(member.mode)
  writer.count(member.headerOffset)
  writer.count(member.dataOffset - member.headerOffset)
  writer.signed(member.mtimeSeconds)
  if (present & memberFlags.size) writer.count(member.size)
  if (present & memberFlags.link) writer.bytes(member.linkName)
  if (present & memberFlags.owner) writer.count(member.uid).count(member.gid)
  if (present & memberFlags.nanoseconds) writer.count(member.mtimeNanoseconds)
  if (present & memberFlags.device) writer.count(member.deviceMajor).count(member.deviceMinor)
  if (member.xattrs !== undefined && member.xattrs.size > 0) {
    writer.count(member.xattrs.size)
    for (const [name, value] of member.xattrs) writer.bytes(Buffer.from(name)).bytes(value)
  }
  if (member.unsupported !== undefined) writer.bytes(Buffer.from(member.unsupported))
  if (member.sparse !== undefined) {
    writer.count(member.sparse.length / 2)
    for (let i = 0, end = 0; i < member.sparse.length; i += 2) {
      const start = member.sparse[i] as number
      const length = member.sparse[i + 1] as number
      writer.count(start - end).count(length)
      end = start + length
    }
  }
}

function flagsOf(member: TarMember): number {
  return (
    (member.size === 0 ? 0 : memberFlags.size) |
    (member.linkName.length === 0 ? 0 : memberFlags.link) |
    (member.uid === 0 && member.gid === 0 ? 0 : memberFlags.owner) |
    (member.mtimeNanoseconds === 0 ? 0 : memberFlags.nanoseconds) |
    (member.deviceMajor === 0 && member.deviceMinor === 0 ? 0 : memberFlags.device) |
    (member.xattrs === undefined || member.xattrs.size === 0 ? 0 : memberFlags.xattrs) |
    (member.unsupported === undefined ? 0 : memberFlags.unsupported) |
    (member.sparse === undefined ? 0 : memberFlags.sparse)
  )
}
