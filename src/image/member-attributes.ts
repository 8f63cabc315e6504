import type { Layer } from '../layer/layer.js'
import { blockBytes } from '../tar/block.js'
import type { TarMember } from '../tar/member.js'
import type { NodeAttributes } from './image.js'

type Stat = Pick<
  TarMember,
  | 'type'
  | 'mode'
  | 'uid'
  | 'gid'
  | 'size'
  | 'mtimeSeconds'
  | 'mtimeNanoseconds'
  | 'deviceMajor'
  | 'deviceMinor'
>

/** Of everything but directories. */
export function fileAttributes(
  member: Stat,
  linkBytes: number,
  linkCount: number,
  blocks: number | undefined,
): NodeAttributes {
  const { type } = member
  return {
    type: type === 'hardlink' ? 'file' : type,
    // Linux has no others of symbolic links.
    mode: type === 'symlink' ? 0o777 : member.mode,
    uid: member.uid,
    gid: member.gid,
    size: type === 'symlink' ? linkBytes : member.size,
    mtimeSeconds: member.mtimeSeconds,
    mtimeNanoseconds: member.mtimeNanoseconds,
    deviceMajor: member.deviceMajor,
    deviceMinor: member.deviceMinor,
    linkCount,
    blocks,
  }
}

export function directoryAttributes(member: Stat): NodeAttributes {
  return {
    type: 'directory',
    mode: member.mode,
    uid: member.uid,
    gid: member.gid,
    size: 0,
    mtimeSeconds: member.mtimeSeconds,
    mtimeNanoseconds: member.mtimeNanoseconds,
    deviceMajor: member.deviceMajor,
    deviceMinor: member.deviceMinor,
    linkCount: 1,
  }
}

/** Blocks of 512 bytes that are data, of whole blocks of the tar; undefined while holes are not known. */
export function dataBlocks({ zeros }: Layer, offset: number, paddedBytes: number): number | undefined {
  return zeros === undefined ? undefined : (paddedBytes - zeros.zerosWithin(offset, paddedBytes)) / blockBytes
}
