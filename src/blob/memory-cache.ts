import { LRUCache } from 'lru-cache'
import { BufferPool, type Lease } from './buffer-pool.js'
import { DecoderRoom } from './decoder-room.js'
import type { ResidentSpans } from './resident-spans.js'

interface Kept {
  readonly lease: Lease
  /** Where it was published. */
  withdraw: (() => void) | undefined
}

/**
 * The process's one budget for bytes that can be made again: chunks and spans of all layers. Keys are
 * `chunk:<digest>:<index>` and `span:<digest>:<index>:<piece>`; the least recently used goes first.
 */
export class MemoryCache {
  /** For what is to be kept here, and for what takes turns with it. */
  readonly pool = new BufferPool(
    () => this.roomBytes,
    () => this.#entries.pop() !== undefined,
  )
  readonly decoders = new DecoderRoom({
    makeRoom: (bytes) => this.#makeReservable(bytes),
    reserve: (bytes) => this.reserve(bytes),
  })
  readonly #entries: LRUCache<string, Kept>
  readonly maximumBytes: number
  /** Of what it keeps. */
  readonly longestBytes: number
  /** Absent where nobody reads from there. */
  readonly resident: ResidentSpans | undefined
  #reservedBytes = 0
  readonly #dispensable = new Set<() => void>()
  hits = 0
  misses = 0

  constructor(maximumBytes: number, resident?: ResidentSpans) {
    this.maximumBytes = maximumBytes
    this.resident = resident
    // A unit of more than an eighth would push out everything else for one reader.
    this.longestBytes = Math.max(1, Math.floor(maximumBytes / 8))
    this.#entries = new LRUCache({
      maxSize: Math.max(1, maximumBytes),
      maxEntrySize: this.longestBytes,
      sizeCalculation: ({ lease }) => Math.max(1, lease.heldBytes),
      dispose: ({ lease, withdraw }) => {
        withdraw?.()
        lease.release()
      },
    })
  }

  /** What it may hold at present: a quarter at least, or no read would get on. */
  get roomBytes(): number {
    return Math.max(this.maximumBytes - this.#reservedBytes, this.maximumBytes / 4)
  }

  /**
   * Gives up so much of the budget to somebody else; returns how to take it back. Who can do without it says how it is
   * asked to (and then takes it back): when others have reserved more than leaves a quarter.
   */
  reserve(bytes: number, giveUp?: () => void): () => void {
    this.#reservedBytes += bytes
    this.#makeReservable(0)
    if (giveUp !== undefined) this.#dispensable.add(giveUp)
    this.#makeRoom(0)
    return () => {
      this.#reservedBytes -= bytes
      if (giveUp !== undefined) this.#dispensable.delete(giveUp)
      this.decoders.changed()
    }
  }

  /** Whether so much more can be reserved and still leave a quarter; whoever can do without gives up for it. */
  #makeReservable(bytes: number): boolean {
    const most = this.maximumBytes * 0.75 - bytes
    for (const other of [...this.#dispensable]) if (this.#reservedBytes > most) other()
    return this.#reservedBytes <= most
  }

  /** Of the budget, by others. */
  get reservedBytes(): number {
    return this.#reservedBytes
  }

  get usedBytes(): number {
    return this.#entries.calculatedSize
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /** To be looked at before anything is awaited, or held. */
  find(key: string): Lease | undefined {
    const kept = this.#entries.get(key)
    if (kept === undefined) this.misses++
    else this.hits++
    return kept?.lease
  }

  /** The same for who has other places to look: neither a hit nor a miss. */
  peek(key: string): Lease | undefined {
    return this.#entries.get(key)?.lease
  }

  /**
   * Holds it as long as there is room; all the memory behind it counts. `publish` is called when it is held, and what that
   * returns before it is let go of.
   */
  put(key: string, lease: Lease, publish?: () => () => void): void {
    // A unit that is too long is not kept, and then lru-cache disposes of nothing.
    if (lease.heldBytes > this.longestBytes) return
    this.#makeRoom(lease.heldBytes)
    const kept: Kept = { lease: lease.hold(), withdraw: undefined }
    // What it takes the place of is withdrawn first.
    this.#entries.set(key, kept)
    kept.withdraw = publish?.()
  }

  #makeRoom(bytes: number): void {
    while (this.#entries.size > 0 && this.usedBytes + bytes > this.roomBytes) this.#entries.pop()
  }

  remove(key: string): void {
    this.#entries.delete(key)
  }

  /** Everything of one layer, after its bytes turned out to be wrong. */
  removeLayer(digest: string): void {
    for (const key of [...this.#entries.keys()]) if (key.includes(digest)) this.#entries.delete(key)
  }
}
