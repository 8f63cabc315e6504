import { storedBytesOf, type SparseMap } from './sparse-map.js'

export const memberTypes = [
  'file',
  'directory',
  'symlink',
  'hardlink',
  'character-device',
  'block-device',
  'fifo',
] as const
export type MemberType = (typeof memberTypes)[number]

/** One thing in a tar, its headers (PAX, GNU) already applied. Names are bytes as stored, not yet normalised. */
export interface TarMember {
  readonly name: Buffer
  readonly type: MemberType
  /** Of symlinks and hard links; empty otherwise. */
  readonly linkName: Buffer
  /** The lower 12 bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Content bytes; 0 for all but files. */
  readonly size: number
  /** Whole seconds since the epoch, rounded down; may be negative. */
  readonly mtimeSeconds: number
  /** 0 to 999,999,999. */
  readonly mtimeNanoseconds: number
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** Offset in the tar of the first header block that belongs to this member. */
  readonly headerOffset: number
  /** Offset in the tar of the first content byte. */
  readonly dataOffset: number
  /** Without the PAX prefix (`SCHILY.xattr.`); undefined when there are none. */
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined
  /** Which parts of the content follow in the tar, where that is not all of it. */
  readonly sparse: SparseMap | undefined
  /** Why the content cannot be read (`a sparse file of star`), where we know the member but not its encoding. */
  readonly unsupported: string | undefined
}

/** Bytes from `dataOffset` on that are content. */
export function storedBytesOfMember(member: TarMember): number {
  if (member.unsupported !== undefined) return 0
  return member.sparse === undefined ? member.size : storedBytesOf(member.sparse)
}
