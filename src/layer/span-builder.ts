import type { Lease } from '../blob/buffer-pool.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import { zeros } from '../blob/zeros.js'
import type { BlockEvent } from '../native.js'
import type { Inflations } from './inflations.js'
import { keepSpan, spanKey } from './kept-spans.js'

/** Room for a span of the usual spacing and the deflate block that ends it. */
const usualSpanBytes = (1 << 20) + (256 << 10)
/** A longer span is read in pieces later (span-source.ts) and not kept whole. */
export const longestKeptSpanBytes = 16 << 20

/** Of the memory cache: the rest is for who reads elsewhere meanwhile. */
const shareOfUnread = 0.85

/**
 * Keeps what the first pass inflates while somebody reads the layer, span by span, in the memory cache: a reader that
 * follows the frontier has nothing inflated a second time. The span that is being built can be read as well. Zeros
 * take no memory until something else follows them in the same span. What nobody has come to read yet is not pushed out by
 * what is further on: a reader that starts at the beginning when the pass is done, as qemu-img does, finds that there.
 */
export class SpanBuilder {
  readonly #digest: string
  readonly #memory: MemoryCache
  readonly #inflations: Inflations
  /** Of the present span. */
  #index = 0
  /** Where the present span begins. */
  #spanStart = 0
  /** Where what is kept of it begins; it may have begun before anybody read. */
  #start = 0
  #filled = 0
  /** Undefined while all of it is zero. */
  #lease: Lease | undefined
  #tooLong = false
  /** What is in the memory cache of it, as far as is known. */
  #kept: { readonly key: string; readonly bytes: number }[] = []
  #keptBytes = 0

  constructor(digest: string, memory: MemoryCache, inflations: Inflations) {
    this.#digest = digest
    this.#memory = memory
    this.#inflations = inflations
  }

  /** The span with this number begins here, and those before it are known. */
  resume(offset: number, index: number): void {
    this.cut(offset)
    this.#index = index
  }

  /** `bytes` are only looked at. */
  add(bytes: Buffer, block: Pick<BlockEvent, 'uncompressedOffset' | 'zero'>): void {
    if (this.#tooLong) return
    if (this.#start + this.#filled !== block.uncompressedOffset) {
      this.#start = block.uncompressedOffset
      this.#drop()
    }
    const needed = this.#filled + bytes.length
    if (needed > longestKeptSpanBytes) {
      this.#tooLong = true
      this.#drop()
      return
    }
    if (this.#lease !== undefined || !block.zero) bytes.copy(this.#roomFor(needed), this.#filled)
    this.#filled = needed
  }

  /** A span ends here and the next one begins. `keep` is shown all of it, unless it is zeros or was not seen whole. */
  cut(offset: number, keep?: (index: number, lease: Lease) => void): void {
    // Readers may have come after its start, or left before its end.
    const isWhole = this.#start === this.#spanStart && this.#start + this.#filled === offset
    if (this.#lease !== undefined && isWhole) {
      this.#lease.shorten(this.#filled)
      keep?.(this.#index, this.#lease)
      this.#keep(this.#start, this.#lease)
    }
    this.#drop()
    this.#index++
    this.#spanStart = offset
    this.#start = offset
    this.#tooLong = false
  }

  /** Up to `length` bytes from `offset`, those that are here; good until anything is awaited. */
  peekSome(offset: number, length: number): Buffer | undefined {
    const at = offset - this.#start
    if (at < 0 || at >= this.#filled) return undefined
    const found = Math.min(this.#filled - at, length)
    return this.#lease?.bytes.subarray(at, at + found) ?? zeros(found)
  }

  #keep(offset: number, lease: Lease): void {
    const limit = this.#memory.roomBytes * shareOfUnread
    const bytes = lease.heldBytes
    if (this.#keptBytes + bytes > limit) {
      this.#kept = this.#kept.filter((kept) => this.#memory.has(kept.key))
      this.#keptBytes = this.#kept.reduce((sum, kept) => sum + kept.bytes, 0)
    }
    if (this.#keptBytes + bytes > limit) return
    keepSpan(this.#memory, this.#digest, offset, lease)
    this.#inflations.add(this.#index)
    this.#kept.push({ key: spanKey(this.#digest, offset), bytes })
    this.#keptBytes += bytes
  }

  #drop(): void {
    this.#lease?.release()
    this.#lease = undefined
    this.#filled = 0
  }

  #roomFor(bytes: number): Buffer {
    const { pool } = this.#memory
    const before = this.#lease
    if (before !== undefined && before.bytes.length >= bytes) return before.bytes
    const longer = pool.take(Math.max(usualSpanBytes, bytes, (before?.bytes.length ?? 0) * 2))
    if (before === undefined) longer.bytes.fill(0, 0, this.#filled)
    else before.bytes.copy(longer.bytes, 0, 0, this.#filled)
    before?.release()
    this.#lease = longer
    return longer.bytes
  }
}
