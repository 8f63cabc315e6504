/**
 * Memory that is used again instead of left to the garbage collector: for each 64 MiB of buffers that come and go V8
 * runs a full collection, and the kernel clears every page of a new one, which together cost more than inflating.
 * So who holds such memory says so, and says when that ends.
 */
import { grainBytes, Slab, slabBytes } from './slab.js'

/** What is longer comes alone, and leaves no holes. */
const longestSlabBytes = slabBytes / 2

/** A buffer with holders; its memory is used for something else once the last of them has let go. */
export class Lease {
  #bytes: Buffer
  readonly #release: (() => void) | undefined
  /** What is kept alive. */
  readonly heldBytes: number
  #holders = 1

  private constructor(bytes: Buffer, heldBytes: number, release?: () => void) {
    this.#bytes = bytes
    this.heldBytes = heldBytes
    this.#release = release
  }

  /** Of memory that the garbage collector looks after. */
  static of(bytes: Buffer): Lease {
    return new Lease(bytes, bytes.buffer.byteLength)
  }

  static pooled(memory: Buffer, length: number, release: () => void): Lease {
    return new Lease(memory.subarray(0, length), memory.length, release)
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  /** Fewer bytes, of the same memory: more was taken than was needed. */
  shorten(length: number): void {
    this.#bytes = this.#bytes.subarray(0, length)
  }

  hold(): this {
    this.#holders++
    return this
  }

  /** Once for the lease itself and for each `hold`; the bytes must not be looked at afterwards. */
  release(): void {
    if (--this.#holders === 0) this.#release?.()
  }
}

/** What a pool does when it has as many slabs as it should: false when there is nothing to give up. */
export type GiveUpSome = () => boolean

export class BufferPool {
  /** Apart, for what is lent for a moment would leave holes between what is kept. */
  readonly #kept = new SlabList()
  readonly #lent = new SlabList()
  readonly #mostBytes: () => number
  readonly #giveUpSome: GiveUpSome

  /** `giveUpSome` is called while what is kept would take more than `mostBytes` with the holes in it. */
  constructor(mostBytes: () => number, giveUpSome: GiveUpSome) {
    this.#mostBytes = mostBytes
    this.#giveUpSome = giveUpSome
  }

  /** Of `length` bytes with any content; the caller holds it. */
  take(length: number): Lease {
    if (length > longestSlabBytes) return Lease.of(Buffer.allocUnsafeSlow(length))
    for (;;) {
      const lease = this.#kept.take(length)
      if (lease !== undefined) return lease
      if (this.#kept.bytes + slabBytes <= this.#mostBytes() || !this.#giveUpSome())
        return this.#kept.grow(length)
    }
  }

  /** Filled by `fill`, which fails only when it writes no more. */
  async filled(length: number, fill: (lease: Lease) => Promise<unknown>): Promise<Lease> {
    const lease = this.take(length)
    try {
      await fill(lease)
    } catch (error) {
      lease.release()
      throw error
    }
    return lease
  }

  /** For as long as `work` lasts, which fails only when it writes no more. */
  async lend<T>(length: number, work: (bytes: Buffer) => Promise<T>): Promise<T> {
    if (length > longestSlabBytes) return work(Buffer.allocUnsafeSlow(length))
    const lease = this.#lent.take(length) ?? this.#lent.grow(length)
    try {
      return await work(lease.bytes)
    } finally {
      lease.release()
    }
  }
}

class SlabList {
  #slabs: readonly Slab[] = []

  get bytes(): number {
    return this.#slabs.length * slabBytes
  }

  take(length: number): Lease | undefined {
    for (const slab of this.#slabs) {
      const memory = slab.take(sizeOf(length))
      if (memory !== undefined) return this.#lease(slab, memory, length)
    }
    return undefined
  }

  /** Takes it from a new slab. */
  grow(length: number): Lease {
    const slab = new Slab()
    this.#slabs = [...this.#slabs, slab]
    return this.#lease(slab, slab.take(sizeOf(length)) as Buffer, length)
  }

  #lease(slab: Slab, memory: Buffer, length: number): Lease {
    return Lease.pooled(memory, length, () => {
      slab.give(memory)
      if (slab.isEmpty) this.#dropAllButOneEmpty()
    })
  }

  /** The others' memory goes back to the system. */
  #dropAllButOneEmpty(): void {
    const kept = this.#slabs.find((slab) => slab.isEmpty)
    this.#slabs = this.#slabs.filter((slab) => !slab.isEmpty || slab === kept)
  }
}

function sizeOf(length: number): number {
  return Math.max(grainBytes, Math.ceil(length / grainBytes) * grainBytes)
}
