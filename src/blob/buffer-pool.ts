/**
 * Memory that is used again instead of left to the garbage collector: for each 64 MiB of buffers that come and go V8
 * runs a full collection, and the kernel clears every page of a new one, which together cost more than inflating.
 * So who holds such memory says so, and says when that ends.
 */
import { grainBytes, Slab, slabBytes } from './slab.js'

/** What is longer comes alone, and leaves no holes. */
const longestSlabBytes = slabBytes / 2

/** Takes memory back, all of it or its end. */
type TakeBack = (memory: Buffer) => void

/** A buffer with holders; its memory is used for something else once the last of them has let go. */
export class Lease {
  #bytes: Buffer
  #memory: Buffer
  readonly #takeBack: TakeBack | undefined
  #holders = 1

  private constructor(bytes: Buffer, memory: Buffer, takeBack?: TakeBack) {
    this.#bytes = bytes
    this.#memory = memory
    this.#takeBack = takeBack
  }

  /** Of memory that the garbage collector looks after. */
  static of(bytes: Buffer): Lease {
    return new Lease(bytes, Buffer.from(bytes.buffer))
  }

  static pooled(memory: Buffer, length: number, takeBack: TakeBack): Lease {
    return new Lease(memory.subarray(0, length), memory, takeBack)
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  /** What is kept alive. */
  get heldBytes(): number {
    return this.#memory.length
  }

  /** Fewer bytes, of the same memory: more was taken than was needed, and the rest is given back. */
  shorten(length: number): void {
    this.#bytes = this.#bytes.subarray(0, length)
    const needed = sizeOf(length)
    if (this.#takeBack === undefined || needed >= this.#memory.length) return
    this.#takeBack(this.#memory.subarray(needed))
    this.#memory = this.#memory.subarray(0, needed)
  }

  hold(): this {
    this.#holders++
    return this
  }

  /** Once for the lease itself and for each `hold`; the bytes must not be looked at afterwards. */
  release(): void {
    if (--this.#holders === 0) this.#takeBack?.(this.#memory)
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

  /**
   * The same, but as much of the memory as is there is all there is: undefined when there is no place for it and `giveUpSome`
   * has nothing more to give up.
   */
  takeIfRoom(length: number, giveUpSome: GiveUpSome): Lease | undefined {
    if (length > longestSlabBytes) return Lease.of(Buffer.allocUnsafeSlow(length))
    for (;;) {
      const lease = this.#kept.take(length)
      if (lease !== undefined) return lease
      if (this.#kept.bytes + slabBytes <= this.wholeBytes) return this.#kept.grow(length)
      if (!giveUpSome()) return undefined
    }
  }

  /** What is kept may take, in whole slabs; one there is always. */
  get wholeBytes(): number {
    return Math.max(1, Math.floor(this.#mostBytes() / slabBytes)) * slabBytes
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
    return Lease.pooled(memory, length, (returned) => {
      slab.give(returned)
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
