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

/** A mount's /dev/fuse, read by a thread of the addon. */
export interface FuseChannel {
  /** Answers request `unique` with an error, or with what the parts say together. The errno of the kernel's refusal, or 0. */
  reply(unique: number, errno: number, parts: readonly Buffer[]): number
  /** Makes an open file one that the kernel may read by itself (Linux 6.9): its number, above 0, or the negative errno. */
  openBacking(file: number): number
  /** The kernel gives it up once no open file of the mount uses it. The errno, or 0. */
  closeBacking(backing: number): number
  /** Lets go of the mount, which is dead then if it is still there; safe to call more than once. */
  close(): void
}

export interface FuseChannelEvents {
  /** On the main thread: one or more whole requests (linux/fuse.h). */
  readonly onRequests: (bytes: Buffer) => void
  /** The connection has ended, with this errno: ENODEV after an unmount, ECONNABORTED when it was cut. */
  readonly onEnd: (errno: number) => void
}

/** The addon's (native/fuse_channel_binding.h). */
export interface FuseVerbs {
  readonly FuseChannel: new (
    descriptor: number,
    onRequests: FuseChannelEvents['onRequests'],
    onEnd: FuseChannelEvents['onEnd'],
  ) => FuseChannel
  mountFuse(request: FuseMountRequest, done: (result: FuseMountResult) => void): void
}
