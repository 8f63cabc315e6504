import type { ByteSource } from '../blob/source.js'
import type { Inode, PageCache } from './binding.js'

interface Followed {
  handles: number
  readonly unfollow: () => void
}

/**
 * Open files of which the kernel is given what a running first pass inflates, so that nobody has it inflated a second
 * time. One file is followed once, however often it is open.
 */
export class FollowedFiles {
  readonly #pages: PageCache
  readonly #followed = new Map<Inode, Followed>()

  constructor(pages: PageCache) {
    this.#pages = pages
  }

  /** Returns how to end it; undefined where there is nothing to follow. */
  add(inode: Inode, source: ByteSource): (() => void) | undefined {
    let followed = this.#followed.get(inode)
    if (followed === undefined) {
      const writer = this.#pages.writerFor(inode)
      const unfollow = source.follow?.({
        passing: (offset, bytes) => {
          writer.store(offset, bytes)
        },
        failed: () => {
          writer.invalidate()
        },
      })
      if (unfollow === undefined) return undefined
      followed = { handles: 0, unfollow }
      this.#followed.set(inode, followed)
    }
    const file = followed
    file.handles++
    return () => {
      if (--file.handles > 0) return
      this.#followed.delete(inode)
      file.unfollow()
    }
  }
}
