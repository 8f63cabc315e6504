import { LRUCache } from 'lru-cache'
import { BufferPool, type Lease } from './buffer-pool.js'
import { DecoderRoom } from './decoder-room.js'
import type { ResidentSpans } from './resident-spans.js'

interface Kept {
  readonly lease: Lease
  /** Where it was published. */
  withdraw: (() => void) | undefined
  wasRead: boolean
  /** Until it is read. */
  isForLater: boolean
  /** Until it is read or its pass ends: nothing else that is kept for later pushes it out. */
  isProtected: boolean
}

/** What is kept for later at most: the rest is for who reads elsewhere meanwhile, or follows closely. */
const shareForLater = 0.85

/**
 * The process's one budget for bytes that can be made again: chunks and spans of all layers. Keys are
 * `chunk:<digest>:<index>` and `span:<digest>:<index>:<piece>`; the least recently used goes first.
 */
export class MemoryCache {
  /** For what is to be kept here, and for what takes turns with it. */
  readonly pool = new BufferPool(
    () => this.roomBytes,
    () => this.#pop(),
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
  #protectedBytes = 0
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
      dispose: (kept) => {
        kept.withdraw?.()
        this.#unprotect(kept)
        kept.lease.release()
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
    const found = this.peek(key)
    if (found === undefined) this.misses++
    else this.hits++
    return found
  }

  /** The same for who has other places to look: neither a hit nor a miss. */
  peek(key: string): Lease | undefined {
    const kept = this.#entries.get(key)
    if (kept === undefined) return undefined
    kept.wasRead = true
    kept.isForLater = false
    this.#unprotect(kept)
    return kept.lease
  }

  /** Whether it was found since it was put there, and is there still. */
  wasRead(key: string): boolean {
    return this.#entries.peek(key)?.wasRead === true
  }

  /**
   * Holds it as long as there is room; all the memory behind it counts. `publish` is called when it is held, and what that
   * returns before it is let go of.
   */
  put(key: string, lease: Lease, publish?: () => () => void): void {
    // A unit that is too long is not kept, and then lru-cache disposes of nothing.
    if (lease.heldBytes > this.longestBytes) return
    this.#makeRoom(lease.heldBytes)
    this.#hold(key, { lease, wasRead: false, isForLater: false, isProtected: false }, publish)
  }

  /** Memory for what nobody has asked for yet: undefined where only what is kept for later could make room. */
  takeForLater(length: number): Lease | undefined {
    return this.pool.takeIfRoom(length, () => this.#popOther())
  }

  /** Whether so much more can be kept until somebody comes. */
  hasRoomForLater(bytes: number): boolean {
    const most = Math.min(this.roomBytes, this.pool.wholeBytes) * shareForLater
    return bytes <= this.longestBytes && this.#protectedBytes + bytes <= most
  }

  /** As `put`, of what nobody has asked for yet: where there is room for it beside what is kept for later. */
  putForLater(key: string, lease: Lease, publish?: () => () => void): void {
    const bytes = lease.heldBytes
    if (bytes > this.longestBytes) return
    while (this.usedBytes + bytes > this.roomBytes) if (!this.#popOther()) return
    const isProtected = this.hasRoomForLater(bytes)
    if (isProtected) this.#protectedBytes += bytes
    this.#hold(key, { lease, wasRead: false, isForLater: true, isProtected }, publish)
  }

  /** Of one layer, whose pass is over. */
  unprotect(digest: string): void {
    this.#entries.forEach((kept, key) => {
      if (key.includes(digest)) this.#unprotect(kept)
    })
  }

  #hold(key: string, entry: Omit<Kept, 'withdraw'>, publish?: () => () => void): void {
    const kept: Kept = { ...entry, withdraw: undefined }
    kept.lease.hold()
    // What it takes the place of is withdrawn first.
    this.#entries.set(key, kept)
    kept.withdraw = publish?.()
  }

  #unprotect(kept: Kept): void {
    if (kept.isProtected) this.#protectedBytes -= kept.lease.heldBytes
    kept.isProtected = false
  }

  /**
   * The least recently used; of what is kept for later the newest, for who comes begins at the beginning and wants the
   * oldest next.
   */
  #pop(): boolean {
    const oldest = first(this.#entries.rkeys(), () => true)
    if (oldest === undefined) return false
    const isForLater = (key: string): boolean => this.#entries.peek(key)?.isForLater === true
    return this.#entries.delete(
      isForLater(oldest) ? (first(this.#entries.keys(), isForLater) ?? oldest) : oldest,
    )
  }

  /** The least recently used of what is not protected. */
  #popOther(): boolean {
    const other = first(this.#entries.rkeys(), (key) => this.#entries.peek(key)?.isProtected === false)
    return other !== undefined && this.#entries.delete(other)
  }

  #makeRoom(bytes: number): void {
    while (this.usedBytes + bytes > this.roomBytes) if (!this.#pop()) return
  }

  remove(key: string): void {
    this.#entries.delete(key)
  }

  /** Everything of one layer, after its bytes turned out to be wrong. */
  removeLayer(digest: string): void {
    for (const key of [...this.#entries.keys()]) if (key.includes(digest)) this.#entries.delete(key)
  }
}

function first<T>(values: Iterable<T>, is: (value: T) => boolean): T | undefined {
  for (const value of values) if (is(value)) return value
  return undefined
}
