export interface FuseMountRequest {
  readonly mountPoint: string
  readonly source: string
  /** Of mount(2): MS_*. */
  readonly flags: number
  /** Of the kernel's fuse, beside those that every mount needs. */
  readonly kernelOptions: string
  /** All of it, for `fusermount3 -o`. */
  readonly helperOptions: string
}

export interface FuseMountResult {
  /** An open /dev/fuse whose mount is there; -1 when it failed. */
  readonly descriptor: number
  /** 0 where fusermount3 failed. */
  readonly errno: number
  readonly step: 'open' | 'mount' | 'helper'
  /** What fusermount3 said. */
  readonly message: string
}

/** A mount's /dev/fuse, read by threads of the addon. */
export interface FuseChannel {
  /** Answers request `unique` with an error, or with what the parts say together. The errno of the kernel's refusal, or 0. */
  reply(unique: number, errno: number, parts: readonly Buffer[]): number
  /**
   * A thread that inflates answers this read of an open file as soon as all of it was offered to the table, if it is not
   * taken back before. False: the file does not lie in a space.
   */
  park(unique: number, handle: number, offset: number, length: number): boolean
  /** Whether a parked read is still unanswered: then nobody else answers it any more. */
  takeBack(unique: number): boolean
  /** Makes an open file one that the kernel may read by itself (Linux 6.9): its number, above 0, or the negative errno. */
  openBacking(file: number): number
  /** The kernel gives it up once no open file of the mount uses it. The errno, or 0. */
  closeBacking(backing: number): number
  /** Lets go of the mount, which is dead then if it is still there; safe to call more than once. */
  close(): void
}

export interface FuseChannelEvents {
  /** On the main thread: one or more whole requests (linux/fuse.h). Two that wait at the same time may come in any order. */
  readonly onRequests: (bytes: Buffer) => void
  /** The connection has ended, with this errno: ENODEV after an unmount, ECONNABORTED when it was cut. */
  readonly onEnd: (errno: number) => void
  /** Reads were answered from these spans of the table, for the first time in this epoch: space and offset of each. */
  readonly onTouched: (places: readonly number[]) => void
}

/** What the channel's threads answer reads from (native/resident_spans.h). A space is the tar of one layer. */
export interface ResidentTable {
  /** Only so many bytes from the start of a space are shown, none at first. */
  showUpTo(space: number, bytes: number): void
  /** `bytes` must not change until they are withdrawn; they take the place of what was published there. */
  publish(space: number, offset: number, bytes: Buffer): void
  /** When it returns nobody reads from them any more: it waits for the answer that is being written, at most 1 MiB. */
  withdraw(space: number, offset: number): void
  /** Withdraws what was offered there by a thread that has inflated it, if it was not published since. */
  retract(space: number, offset: number): void
  /** What is being inflated for this space is not taken any more, nor what was offered and not published. */
  renew(space: number): void
  openFile(handle: number, space: number, offset: number, size: number): void
  closeFile(handle: number): void
  closeAllFiles(): void
  /** What is read from now on is told of anew. */
  beginEpoch(): void
  /** Reads that were answered so far. */
  answers(): number
}

/** The addon's (native/fuse_channel_binding.h, native/resident_binding.h). */
export interface FuseVerbs {
  readonly FuseChannel: new (
    descriptor: number,
    onRequests: FuseChannelEvents['onRequests'],
    onEnd: FuseChannelEvents['onEnd'],
    onTouched: FuseChannelEvents['onTouched'],
    table: ResidentTable | undefined,
    bare: Buffer | undefined,
  ) => FuseChannel
  readonly ResidentTable: new () => ResidentTable
  mountFuse(request: FuseMountRequest, done: (result: FuseMountResult) => void): void
}
