import type { Inode } from './inode-table.js'

/** 33 million, more than a mount shows in days; JavaScript answers for those behind. What is not touched takes no memory. */
const bitsBytes = 4 << 20
const counterBytes = 8

/**
 * Inodes of which it is certain that they have no xattrs of their own, now and later (TreeNode.isBare): the threads that
 * receive requests say so to whoever asks for `security.*` and the like, as `ls -l` does twice for each file, without
 * waking JavaScript. None is ever taken back, for a number is never another node's.
 */
export class BareInodes {
  /** As native/bare_inodes.h has it: their answers, counted; then a bit for each inode. */
  readonly shared = Buffer.from(new ArrayBuffer(counterBytes + bitsBytes))
  readonly #answers = new BigUint64Array(this.shared.buffer, 0, 1)

  /** Before the kernel is told of it: what it asks for then finds it here. */
  add(inode: Inode): void {
    const at = counterBytes + Math.floor(inode / 8)
    if (at < this.shared.length) this.shared[at] = (this.shared[at] as number) | (1 << (inode % 8))
  }

  has(inode: Inode): boolean {
    const bits = this.shared[counterBytes + Math.floor(inode / 8)] ?? 0
    return (bits & (1 << (inode % 8))) !== 0
  }

  /** Requests that were answered. */
  get answers(): number {
    return Number(Atomics.load(this.#answers, 0))
  }
}
