import type { FuseChannel } from '../native.js'
import type { Inode, PageCache, PageWriter } from './binding.js'

const pageBytes = 4096
/** linux/fuse.h: FUSE_NOTIFY_INVAL_INODE. */
const invalidateInode = 2

type Channel = Pick<FuseChannel, 'store' | 'notify'>

/** Puts content into the kernel's page cache (FUSE_NOTIFY_STORE). */
export class PageStore implements PageCache {
  readonly #channel: Channel

  constructor(channel: Channel) {
    this.#channel = channel
  }

  writerFor(inode: Inode): PageWriter {
    return new Writer(this.#channel, inode)
  }
}

/** The kernel takes whole pages only, and what comes by ends anywhere: the start of a page waits here for the rest. */
class Writer implements PageWriter {
  readonly #channel: Channel
  readonly #inode: Inode
  /** The start of the page that `end` lies in. */
  readonly #page = Buffer.alloc(pageBytes)
  /** Where bytes must begin to continue that page. */
  #end = 0

  constructor(channel: Channel, inode: Inode) {
    this.#channel = channel
    this.#inode = inode
  }

  store(offset: number, bytes: Buffer): void {
    const within = offset % pageBytes
    if (within > 0 && offset !== this.#end) {
      // The page's start was not seen.
      const skipped = pageBytes - within
      if (bytes.length > skipped) this.store(offset + skipped, bytes.subarray(skipped))
      return
    }
    this.#end = offset + bytes.length
    const rest = this.#end % pageBytes
    if (within + bytes.length < pageBytes) {
      bytes.copy(this.#page, within)
      return
    }
    const whole = bytes.subarray(0, bytes.length - rest)
    const parts = within > 0 ? [this.#page.subarray(0, within), whole] : [whole]
    this.#channel.store(this.#inode, offset - within, parts)
    bytes.copy(this.#page, 0, bytes.length - rest)
  }

  invalidate(): void {
    const body = Buffer.alloc(24)
    body.writeBigUInt64LE(BigInt(this.#inode), 0)
    // From 0 to the end.
    this.#channel.notify(invalidateInode, [body])
  }
}
