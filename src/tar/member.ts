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
  /** Content bytes that follow in the tar; 0 for all but files. */
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
  /** Why the content cannot be read (`GNU sparse`), where we know the member but not its encoding. */
  readonly unsupported: string | undefined
}
