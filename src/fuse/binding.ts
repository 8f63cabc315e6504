/**
 * The border to the kernel. A binding turns requests of /dev/fuse into calls of FuseOperations, which speak of inodes
 * and handles as the kernel does, and knows nothing of images; FuseOperations know nothing of the kernel.
 *
 * Rules: every call is answered once, by a value or by an error that errno.ts translates; one that is not a
 * RegistryFsError is a bug of ours, and the binding logs it with its stack. Every LookupResult
 * counts one lookup of its inode until the binding calls forget. The signal is aborted when nobody waits any more.
 */
import type { ResidentSpans } from '../blob/resident-spans.js'
import type { BackingFile, Whence } from '../blob/source.js'
import type { NodeAttributes } from '../image/image.js'
import type { BareInodes } from '../tree/bare-inodes.js'
import type { Inode } from '../tree/inode-table.js'
import type { SourceReadOptions } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import type { Logger } from '../util/log.js'

export type { BackingFile, Whence } from '../blob/source.js'
export type { Inode } from '../tree/inode-table.js'

/** An open file or directory; never 0. */
export type FileHandle = number & { readonly __brand: 'FileHandle' }

export interface Attributes extends NodeAttributes {
  readonly inode: Inode
  /** How long these may be believed; Infinity once they cannot change. */
  readonly validMs: number
  /** st_blocks: units of 512 bytes, without holes where those are known. */
  readonly blocks: number
}

export interface LookupResult {
  readonly inode: Inode
  readonly attributes: Attributes
  /** How long this name may be taken for this inode without asking; Infinity inside an image. */
  readonly validMs: number
}

/**
 * What the kernel may keep of something open: nothing; its content until it is opened again; or for ever, because it
 * was proven and cannot change.
 */
export type Caching = 'none' | 'until-reopened' | 'for-ever'

export interface DirectoryEntry {
  /** Bytes as in the image, at most 1023, without slash or NUL. */
  readonly name: Buffer
  readonly type: NodeAttributes['type']
  /** Undefined where it is only known after a lookup. */
  readonly inode: Inode | undefined
}

export interface FileSystemStatus {
  readonly blockBytes: number
  readonly nameBytesMax: number
}

export interface FuseOperations {
  /** NOT_FOUND when there is no such name. */
  lookup(parent: Inode, name: Buffer, options?: ReadOptions): Promise<LookupResult>
  /** The same where nothing has to be waited for; undefined otherwise: look it up. */
  peekLookup(parent: Inode, name: Buffer): LookupResult | undefined
  forget(inode: Inode, count: number): void
  getattr(inode: Inode, options?: ReadOptions): Promise<Attributes>
  /** Of an open handle: what was opened, whatever its name leads to now. */
  getattrOfHandle(handle: FileHandle, options?: ReadOptions): Promise<Attributes>
  readlink(inode: Inode, options?: ReadOptions): Promise<Buffer>
  open(inode: Inode, options?: ReadOptions): Promise<FileHandle>
  /** `length` bytes, fewer only at the end of the file; a view that must not be written to. */
  read(handle: FileHandle, offset: number, length: number, options?: SourceReadOptions): Promise<Buffer>
  /** Brings bytes to memory, where `peek` may find them. */
  load(handle: FileHandle, offset: number, length: number, options?: ReadOptions): Promise<void>
  /** The same as views, where all of it is in memory: good until anything is awaited. Undefined: read it. */
  peek(handle: FileHandle, offset: number, length: number): readonly Buffer[] | undefined
  /**
   * lseek(2) with SEEK_DATA or SEEK_HOLE: the end of a file is a hole. NO_DATA at or beyond the end, and for data where
   * nothing but a hole follows.
   */
  lseek(handle: FileHandle, offset: number, whence: Whence, options?: ReadOptions): Promise<number>
  release(handle: FileHandle): void
  opendir(inode: Inode, options?: ReadOptions): Promise<FileHandle>
  /** The same where nothing has to be waited for; undefined otherwise: open it. */
  peekOpendir(inode: Inode): FileHandle | undefined
  /** All entries, with `.` and `..`, the same at every call. */
  readdir(handle: FileHandle, options?: ReadOptions): Promise<readonly DirectoryEntry[]>
  /** The same where they are known already; undefined otherwise: read them. */
  peekReaddir(handle: FileHandle): readonly DirectoryEntry[] | undefined
  /**
   * The lookup of an entry (by its place in what readdir gave), made by the way: undefined where it would have to wait.
   */
  lookupEntry(handle: FileHandle, index: number): LookupResult | undefined
  releasedir(handle: FileHandle): void
  /** The file of this machine that an open file is; undefined: none. Good until it is released. */
  backingOf(handle: FileHandle): BackingFile | undefined
  /** Of an open file or directory. */
  cachingOf(handle: FileHandle): Caching
  /** NO_ATTRIBUTE when there is none. */
  getxattr(inode: Inode, name: string, options?: ReadOptions): Promise<Buffer>
  /** What is known at once: undefined when there is none, or when it takes a request. */
  peekxattr(inode: Inode, name: string): Buffer | undefined
  listxattr(inode: Inode, options?: ReadOptions): Promise<readonly string[]>
  statfs(): FileSystemStatus
}

export interface MountOptions {
  /** What mount(8) and df show as the device. */
  readonly source: string
  readonly allowOther: boolean
  /** The kernel checks modes and owners; without, whoever can reach the mount can read everything in it. */
  readonly defaultPermissions: boolean
  readonly noExec: boolean
  /** The kernel is to read by itself what files of this machine have, where it can. */
  readonly passthrough: boolean
  readonly log: Logger
  /** Where the binding may answer reads from without asking the operations. */
  readonly resident?: ResidentSpans | undefined
  /** Of these it may say without asking that they have no xattrs. */
  readonly bare?: BareInodes | undefined
}

/**
 * `unmounted`: by us or by anyone; the last user is gone. `aborted`: the connection was cut (through /sys/fs/fuse), and
 * what was left of the mount has been cleared.
 */
export type CloseReason = 'unmounted' | 'aborted'

export interface MountSession {
  readonly mountPoint: string
  /** Resolves once the kernel has let go: after a lazy unmount, when the last open file was closed. Never rejects. */
  readonly closed: Promise<CloseReason>
  /** HOST when it is busy, unless `lazy`. Resolves when the mount point is free, not when all is closed. */
  unmount(options: { readonly lazy: boolean }): Promise<void>
}

export interface FuseBinding {
  /** It answers from `resident` and `bare`. */
  readonly answersItself?: boolean
  /** Resolves when the mount answers. HOST when this machine cannot mount. */
  mount(mountPoint: string, operations: FuseOperations, options: MountOptions): Promise<MountSession>
}
