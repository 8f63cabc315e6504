import type { Lease } from '../blob/buffer-pool.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import { zeros } from '../blob/zeros.js'
import type { BlockEvent } from '../native.js'
import { keepSpanForLater, spanKey } from './kept-spans.js'

/** Room for a span of the usual spacing and the deflate block that ends it. */
const usualSpanBytes = (1 << 20) + (256 << 10)
/** No span is longer, unless a single deflate block at its end is. */
const usualMaximumBytes = 4 << 20
/** A longer span is read in pieces later (long-spans.ts) and not kept whole. */
export const longestKeptSpanBytes = 16 << 20
/** Who reads so little behind the frontier follows it. */
const nearBytes = 16 << 20

/**
 * Keeps what the first pass inflates while somebody reads the layer, span by span, in the memory cache: a reader that
 * follows the frontier has nothing inflated a second time. The span that is being built can be read as well. Zeros
 * take no memory until something else follows them in the same span.
 *
 * What nobody has come to read yet is not pushed out by what is further on: a reader that starts at the beginning when
 * the pass is done, as qemu-img does, finds that there. Once there is no room for more of it, spans are kept for who
 * follows closely, one taking the other's place, and while nobody does not even copied.
 */
export class SpanBuilder {
  readonly #digest: string
  readonly #memory: MemoryCache
  /** Of the present span. */
  #index = 0
  /** Where the present span begins. */
  #spanStart = 0
  /** Where what is kept of it begins; it may have begun before anybody read. */
  #start = 0
  #filled = 0
  /** Undefined while all of it is zero. */
  #lease: Lease | undefined
  #isPassedOver = false
  /** Where the frontier was when somebody read near it. */
  #followedAt = Number.NEGATIVE_INFINITY
  /** Of spans within nearBytes of the frontier. */
  #lately: { readonly key: string; readonly end: number }[] = []

  constructor(digest: string, memory: MemoryCache) {
    this.#digest = digest
    this.#memory = memory
  }

  /** The span with this number begins here, and those before it are known. */
  resume(offset: number, index: number): void {
    this.cut(offset)
    this.#index = index
  }

  /** `bytes` are only looked at. `isNeeded`: whether anybody reads or not. */
  add(bytes: Buffer, block: Pick<BlockEvent, 'uncompressedOffset' | 'zero'>, isNeeded = false): void {
    if (this.#isPassedOver) return
    if (this.#start + this.#filled !== block.uncompressedOffset) {
      this.#start = block.uncompressedOffset
      this.#drop()
    }
    const needed = this.#filled + bytes.length
    if (this.#lease !== undefined || !block.zero) {
      const room = needed > longestKeptSpanBytes ? undefined : this.#roomFor(needed, isNeeded)
      if (room === undefined) {
        this.#isPassedOver = true
        this.#drop()
        return
      }
      bytes.copy(room, this.#filled)
    }
    this.#filled = needed
  }

  /** A span ends here and the next one begins. `keep` is shown all of it, unless it is zeros or was not seen whole. */
  cut(offset: number, keep?: (index: number, lease: Lease) => void): void {
    // Readers may have come after its start, or left before its end.
    const isWhole = this.#start === this.#spanStart && this.#start + this.#filled === offset
    if (this.#lease !== undefined && isWhole) {
      this.#lease.shorten(this.#filled)
      keep?.(this.#index, this.#lease)
      keepSpanForLater(this.#memory, this.#digest, this.#start, this.#lease)
      this.#lately.push({ key: spanKey(this.#digest, this.#start), end: offset })
    }
    this.#lately = this.#lately.filter(({ end }) => end > offset - nearBytes)
    this.#drop()
    this.#index++
    this.#spanStart = offset
    this.#start = offset
    this.#isPassedOver = false
  }

  /** Somebody wants what is at `offset`, be it here or not. */
  follow(offset: number): void {
    const at = offset - this.#spanStart
    if (at >= -nearBytes && at < usualMaximumBytes) this.#followedAt = this.#spanStart
  }

  /** Up to `length` bytes from `offset`, those that are here; good until anything is awaited. */
  peekSome(offset: number, length: number): Buffer | undefined {
    const at = offset - this.#start
    if (at < 0 || at >= this.#filled) return undefined
    const found = Math.min(this.#filled - at, length)
    return this.#lease?.bytes.subarray(at, at + found) ?? zeros(found)
  }

  /** The pass is over: what was kept for later may be pushed out like anything else. */
  close(): void {
    this.#drop()
    this.#memory.unprotect(this.#digest)
  }

  /** Whether somebody reads what the pass has just been at. */
  #isFollowed(): boolean {
    const isNear = this.#followedAt > this.#spanStart - nearBytes
    return isNear || this.#lately.some(({ key }) => this.#memory.wasRead(key))
  }

  #drop(): void {
    this.#lease?.release()
    this.#lease = undefined
    this.#filled = 0
  }

  /** Undefined where it is not worth it. */
  #roomFor(bytes: number, isNeeded: boolean): Buffer | undefined {
    const memory = this.#memory
    const before = this.#lease
    if (before !== undefined && before.bytes.length >= bytes) return before.bytes
    const length = Math.max(usualMaximumBytes, bytes)
    const isWanted = memory.hasRoomForLater(Math.max(usualSpanBytes, bytes)) || this.#isFollowed()
    const longer = isWanted || isNeeded ? memory.takeForLater(length) : undefined
    const lease = longer ?? (isNeeded ? memory.pool.take(length) : undefined)
    if (lease === undefined) return undefined
    if (before === undefined) lease.bytes.fill(0, 0, this.#filled)
    else before.bytes.copy(lease.bytes, 0, 0, this.#filled)
    before?.release()
    this.#lease = lease
    return lease.bytes
  }
}
