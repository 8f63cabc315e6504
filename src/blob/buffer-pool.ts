/**
 * Memory that is used again instead of left to the garbage collector: for each 64 MiB of buffers that come and go V8
 * runs a full collection, and the kernel clears every page of a new one, which together cost more than inflating.
 * So who holds such memory says so, and says when that ends.
 */

/** Sizes are rounded up to this: spans differ by little. */
const grainBytes = 128 << 10
/** Beyond these, memory that nobody holds goes back to the system. */
const maxFreeBytes = 16 << 20

/** A buffer with holders; its memory is used for something else once the last of them has let go. */
export class Lease {
  #bytes: Buffer
  readonly #release: ((memory: Buffer) => void) | undefined
  readonly #memory: Buffer
  #holders = 1

  private constructor(bytes: Buffer, memory: Buffer, release?: (memory: Buffer) => void) {
    this.#bytes = bytes
    this.#memory = memory
    this.#release = release
  }

  /** Of memory that the garbage collector looks after. */
  static of(bytes: Buffer): Lease {
    return new Lease(bytes, bytes)
  }

  static pooled(memory: Buffer, length: number, release: (memory: Buffer) => void): Lease {
    return new Lease(memory.subarray(0, length), memory, release)
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  /** Fewer bytes, of the same memory: more was taken than was needed. */
  shorten(length: number): void {
    this.#bytes = this.#bytes.subarray(0, length)
  }

  /** What is kept alive, in bytes. */
  get heldBytes(): number {
    return this.#memory.buffer.byteLength
  }

  hold(): this {
    this.#holders++
    return this
  }

  /** Once for the lease itself and for each `hold`; the bytes must not be looked at afterwards. */
  release(): void {
    if (--this.#holders === 0) this.#release?.(this.#memory)
  }
}

export class BufferPool {
  readonly #free = new Map<number, Buffer[]>()
  #freeBytes = 0
  readonly #giveBack = (memory: Buffer): void => {
    this.#keep(memory)
  }

  /** Of `length` bytes with any content; the caller holds it. */
  take(length: number): Lease {
    const size = Math.max(grainBytes, Math.ceil(length / grainBytes) * grainBytes)
    const kept = this.#free.get(size)?.pop()
    if (kept !== undefined) this.#freeBytes -= size
    return Lease.pooled(kept ?? Buffer.allocUnsafeSlow(size), length, this.#giveBack)
  }

  #keep(memory: Buffer): void {
    const size = memory.length
    if (size > maxFreeBytes) return
    // Sizes that are asked for no more must not keep out those that are.
    if (this.#freeBytes + size > maxFreeBytes) {
      this.#free.clear()
      this.#freeBytes = 0
    }
    const kept = this.#free.get(size) ?? []
    kept.push(memory)
    this.#free.set(size, kept)
    this.#freeBytes += size
  }
}
