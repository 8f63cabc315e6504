/**
 * Tar members as compact bytes, for the index file and the journal. Numbers are varints (LEB128); offsets are
 * differences to the member before, times to the one before, so that most take one to three bytes; what few members
 * have is announced in a byte of flags. The outer layers compress and check these bytes; here they are only believed
 * as far as they make sense.
 *
 *   count, then per member:
 *   type | flags << 3, name, mode, headerOffset - previous dataOffset - previous size (zigzag),
 *   dataOffset - headerOffset, mtimeSeconds - previous (zigzag), and as flagged:
 *   size, linkName, uid and gid, mtimeNanoseconds, device major and minor, xattrs, why unsupported
 */
import { memberTypes, type MemberType, type TarMember } from '../tar/member.js'
import { RegistryFsError } from '../util/errors.js'
import { VarintReader, VarintWriter } from './varints.js'

const flags = { size: 1, link: 2, owner: 4, nanoseconds: 8, device: 16, xattrs: 32, unsupported: 64 } as const
const typeBits = 3
const maximumTextBytes = 1 << 20
const maximumXattrs = 1 << 16
/** Of the shortest member: type, name length, mode, three differences. */
const minimumMemberBytes = 6
const empty = Buffer.alloc(0)

interface Previous {
  /** Where the previous member's content ends. */
  end: number
  mtimeSeconds: number
}

export function encodeMembers(members: readonly TarMember[]): Buffer {
  const writer = new VarintWriter()
  writer.count(members.length)
  const previous: Previous = { end: 0, mtimeSeconds: 0 }
  for (const member of members) {
    encodeMember(writer, member, previous)
    remember(previous, member)
  }
  return writer.done()
}

/** CORRUPT for anything that `encodeMembers` does not write. */
export function decodeMembers(bytes: Buffer): TarMember[] {
  const reader = new VarintReader(bytes, 'members')
  const count = reader.count(Math.floor(bytes.length / minimumMemberBytes))
  const members: TarMember[] = []
  const previous: Previous = { end: 0, mtimeSeconds: 0 }
  for (let i = 0; i < count; i++) {
    const member = decodeMember(reader, previous)
    members.push(member)
    remember(previous, member)
  }
  reader.end()
  return members
}

function encodeMember(writer: VarintWriter, member: TarMember, previous: Previous): void {
  const present = flagsOf(member)
  writer.count(memberTypes.indexOf(member.type) + present * (1 << typeBits))
  writer.bytes(member.name)
  writer.count(member.mode)
  writer.signed(member.headerOffset - previous.end)
  writer.count(member.dataOffset - member.headerOffset)
  writer.signed(member.mtimeSeconds - previous.mtimeSeconds)
  if (present & flags.size) writer.count(member.size)
  if (present & flags.link) writer.bytes(member.linkName)
  if (present & flags.owner) writer.count(member.uid).count(member.gid)
  if (present & flags.nanoseconds) writer.count(member.mtimeNanoseconds)
  if (present & flags.device) writer.count(member.deviceMajor).count(member.deviceMinor)
  if (member.xattrs !== undefined && member.xattrs.size > 0) {
    writer.count(member.xattrs.size)
    for (const [name, value] of member.xattrs) writer.bytes(Buffer.from(name)).bytes(value)
  }
  if (member.unsupported !== undefined) writer.bytes(Buffer.from(member.unsupported))
}

function flagsOf(member: TarMember): number {
  return (
    (member.size === 0 ? 0 : flags.size) |
    (member.linkName.length === 0 ? 0 : flags.link) |
    (member.uid === 0 && member.gid === 0 ? 0 : flags.owner) |
    (member.mtimeNanoseconds === 0 ? 0 : flags.nanoseconds) |
    (member.deviceMajor === 0 && member.deviceMinor === 0 ? 0 : flags.device) |
    (member.xattrs === undefined || member.xattrs.size === 0 ? 0 : flags.xattrs) |
    (member.unsupported === undefined ? 0 : flags.unsupported)
  )
}

function decodeMember(reader: VarintReader, previous: Previous): TarMember {
  const first = reader.count(0x3ff)
  const type = memberTypes[first % (1 << typeBits)]
  if (type === undefined) throw corrupt('an unknown type')
  const present = first >> typeBits
  const name = reader.bytes(maximumTextBytes)
  const mode = reader.count(0o7777)
  const headerOffset = previous.end + reader.signed()
  const dataOffset = headerOffset + reader.count()
  const mtimeSeconds = previous.mtimeSeconds + reader.signed()
  const size = present & flags.size ? reader.count() : 0
  if (headerOffset < 0 || !Number.isSafeInteger(dataOffset + size)) throw corrupt('an impossible offset')
  if (!Number.isSafeInteger(mtimeSeconds)) throw corrupt('an impossible time')
  const linkName = present & flags.link ? reader.bytes(maximumTextBytes) : empty
  const hasOwner = (present & flags.owner) !== 0
  const uid = hasOwner ? reader.count(0xffff_ffff) : 0
  const gid = hasOwner ? reader.count(0xffff_ffff) : 0
  const mtimeNanoseconds = present & flags.nanoseconds ? reader.count(999_999_999) : 0
  const hasDevice = (present & flags.device) !== 0
  const deviceMajor = hasDevice ? reader.count(0xffff_ffff) : 0
  const deviceMinor = hasDevice ? reader.count(0xffff_ffff) : 0
  const xattrs = present & flags.xattrs ? decodeXattrs(reader) : undefined
  const unsupported = present & flags.unsupported ? reader.bytes(maximumTextBytes).toString() : undefined
  requireSense(type, size)
  return {
    name,
    type,
    linkName,
    mode,
    uid,
    gid,
    size,
    mtimeSeconds,
    mtimeNanoseconds,
    deviceMajor,
    deviceMinor,
    headerOffset,
    dataOffset,
    xattrs,
    unsupported,
  }
}

function decodeXattrs(reader: VarintReader): ReadonlyMap<string, Buffer> {
  const xattrs = new Map<string, Buffer>()
  for (let left = reader.count(maximumXattrs); left > 0; left--) {
    const name = reader.bytes(maximumTextBytes).toString()
    xattrs.set(name, reader.bytes(maximumTextBytes))
  }
  return xattrs
}

function requireSense(type: MemberType, size: number): void {
  if (type !== 'file' && size > 0) throw corrupt(`a ${type} with content`)
}

function remember(previous: Previous, member: TarMember): void {
  previous.end = member.dataOffset + member.size
  previous.mtimeSeconds = member.mtimeSeconds
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `members: ${reason}`)
}
