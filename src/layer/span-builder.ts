import type { MemoryCache } from '../blob/memory-cache.js'

/** Room for a span of the usual spacing and the deflate block that ends it. */
const usualSpanBytes = (1 << 20) + (160 << 10)
/** A longer span is read in pieces later (span-source.ts) and not kept whole. */
export const longestKeptSpanBytes = 16 << 20

export function spanKey(digest: string, uncompressedOffset: number): string {
  return `span:${digest}:${String(uncompressedOffset)}`
}

/**
 * Keeps what the first pass inflates while somebody reads the layer, span by span, in the memory cache: a reader that
 * follows the frontier has nothing inflated a second time. The span that is being built can be read as well.
 */
export class SpanBuilder {
  readonly #digest: string
  readonly #memory: MemoryCache
  #buffer: Buffer | undefined
  /** Uncompressed offset of the buffer's first byte, and whether a span begins there. */
  #start = 0
  #whole = false
  #filled = 0

  constructor(digest: string, memory: MemoryCache) {
    this.#digest = digest
    this.#memory = memory
  }

  add(bytes: Buffer, offset: number, wanted: boolean): void {
    if (this.#buffer === undefined) {
      if (!wanted) return
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(usualSpanBytes, bytes.length))
      this.#whole = offset === this.#start
      this.#start = offset
      this.#filled = 0
    }
    const needed = this.#filled + bytes.length
    if (needed > longestKeptSpanBytes) {
      this.#buffer = undefined
      this.#start = -1
      return
    }
    if (needed > this.#buffer.length) {
      const longer = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(longer, 0, 0, this.#filled)
      this.#buffer = longer
    }
    this.#filled += bytes.copy(this.#buffer, this.#filled)
  }

  /** A span ends here and the next one begins. */
  cut(offset: number): void {
    if (this.#buffer !== undefined && this.#whole) {
      this.#memory.put(spanKey(this.#digest, this.#start), this.#buffer.subarray(0, this.#filled))
    }
    this.#buffer = undefined
    this.#start = offset
  }

  /** A view of up to `length` bytes at `offset`, at least one; undefined when they are not here. */
  find(offset: number, length: number): Buffer | undefined {
    const at = offset - this.#start
    if (this.#buffer === undefined || at < 0 || at >= this.#filled) return undefined
    return this.#buffer.subarray(at, Math.min(this.#filled, at + length))
  }
}
