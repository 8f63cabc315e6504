import { getSystemErrorName } from 'node:util'
import type { Logger } from '../util/log.js'
import type { BackingFile, FileHandle } from './binding.js'

export interface PassthroughOptions {
  /** Makes an open file one that the kernel may read by itself: its number, above 0, or the negative errno. */
  readonly open: (file: number) => number
  readonly close: (backing: number) => void
  readonly log: Logger
}

/** What was short is there again at another time, and another file may be fine. */
const passing: ReadonlySet<string> = new Set(['ENOMEM', 'ENOSPC', 'EAGAIN', 'EINTR', 'EBADF'])

/** How an inode is open at present; the kernel wants all its handles alike, with one backing file. */
interface OpenInode {
  /** 0: read through us, and in the kernel's page cache. */
  readonly backing: number
  handles: number
}

/**
 * Which open files the kernel reads by itself (FOPEN_PASSTHROUGH), from files of this machine: decided when an inode is
 * opened for the first time, and again when all its handles were closed.
 */
export class Passthrough {
  readonly #options: PassthroughOptions
  readonly #inodes = new Map<number, OpenInode>()
  readonly #handles = new Map<FileHandle, number>()
  #isAgreed = false

  constructor(options: PassthroughOptions) {
    this.#options = options
  }

  /** The kernel can. */
  agree(): void {
    this.#isAgreed = true
  }

  /** The number of the file that the kernel is to read for this handle; 0: none. To be released, whatever it is. */
  open(inode: number, handle: FileHandle, file: BackingFile | undefined): number {
    let open = this.#inodes.get(inode)
    if (open === undefined) {
      open = { backing: file === undefined ? 0 : this.#backingOf(file), handles: 0 }
      this.#inodes.set(inode, open)
    }
    open.handles++
    this.#handles.set(handle, inode)
    if (open.backing !== 0) file?.onPassthrough()
    return open.backing
  }

  release(handle: FileHandle): void {
    const inode = this.#handles.get(handle)
    const open = inode === undefined ? undefined : this.#inodes.get(inode)
    if (inode === undefined || open === undefined) return
    this.#handles.delete(handle)
    if (--open.handles > 0) return
    this.#inodes.delete(inode)
    if (open.backing !== 0) this.#options.close(open.backing)
  }

  #backingOf({ descriptor, onWanted }: BackingFile): number {
    if (!this.#isAgreed) return 0
    if (descriptor === undefined) {
      onWanted()
      return 0
    }
    const backing = this.#options.open(descriptor)
    if (backing > 0) return backing
    const reason = getSystemErrorName(backing)
    if (passing.has(reason)) return 0
    // No right to (CAP_SYS_ADMIN), or a cache directory on a stacked file system: the next file fares no better.
    this.#isAgreed = false
    this.#options.log.info({ reason }, 'the kernel does not read files by itself: they are read for it')
    return 0
  }
}
