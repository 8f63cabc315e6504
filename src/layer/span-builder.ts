import { zeros } from '../blob/zeros.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import type { BlockEvent } from '../native.js'

/** Room for a span of the usual spacing and the deflate block that ends it. */
const usualSpanBytes = (1 << 20) + (160 << 10)
/** A longer span is read in pieces later (span-source.ts) and not kept whole. */
export const longestKeptSpanBytes = 16 << 20

export function spanKey(digest: string, uncompressedOffset: number): string {
  return `span:${digest}:${String(uncompressedOffset)}`
}

/**
 * Keeps what the first pass inflates while somebody reads the layer, span by span, in the memory cache: a reader that
 * follows the frontier has nothing inflated a second time. The span that is being built can be read as well. Zeros
 * take no memory until something else follows them in the same span.
 */
export class SpanBuilder {
  readonly #digest: string
  readonly #memory: MemoryCache
  /** Where the present span begins. */
  #spanStart = 0
  /** Where what is kept of it begins; it may have begun before anybody read. */
  #start = 0
  #filled = 0
  /** Undefined while all of it is zero. */
  #buffer: Buffer | undefined
  #tooLong = false

  constructor(digest: string, memory: MemoryCache) {
    this.#digest = digest
    this.#memory = memory
  }

  /** `bytes` are only looked at. */
  add(bytes: Buffer, block: Pick<BlockEvent, 'uncompressedOffset' | 'zero'>): void {
    if (this.#tooLong) return
    if (this.#start + this.#filled !== block.uncompressedOffset) {
      this.#start = block.uncompressedOffset
      this.#filled = 0
      this.#buffer = undefined
    }
    const needed = this.#filled + bytes.length
    if (needed > longestKeptSpanBytes) {
      this.#tooLong = true
      this.#filled = 0
      this.#buffer = undefined
      return
    }
    if (this.#buffer !== undefined || !block.zero) bytes.copy(this.#roomFor(needed), this.#filled)
    this.#filled = needed
  }

  /** A span ends here and the next one begins. */
  cut(offset: number): void {
    if (this.#buffer !== undefined && this.#start === this.#spanStart) {
      this.#memory.put(spanKey(this.#digest, this.#start), this.#buffer.subarray(0, this.#filled))
    }
    this.#buffer = undefined
    this.#spanStart = offset
    this.#start = offset
    this.#filled = 0
    this.#tooLong = false
  }

  /** A view of up to `length` bytes at `offset`, at least one; undefined when they are not here. */
  find(offset: number, length: number): Buffer | undefined {
    const at = offset - this.#start
    if (at < 0 || at >= this.#filled) return undefined
    const wanted = Math.min(this.#filled - at, length)
    return this.#buffer === undefined ? zeros(wanted) : this.#buffer.subarray(at, at + wanted)
  }

  #roomFor(bytes: number): Buffer {
    if (this.#buffer !== undefined && this.#buffer.length >= bytes) return this.#buffer
    const longer = Buffer.allocUnsafeSlow(Math.max(usualSpanBytes, bytes, (this.#buffer?.length ?? 0) * 2))
    if (this.#buffer === undefined) longer.fill(0, 0, this.#filled)
    else this.#buffer.copy(longer, 0, 0, this.#filled)
    this.#buffer = longer
    return longer
  }
}
