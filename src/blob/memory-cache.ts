import { LRUCache } from 'lru-cache'

/**
 * The process's one budget for bytes that can be made again: chunks and spans of all layers. Keys are
 * `chunk:<digest>:<index>` and `span:<digest>:<index>:<piece>`; the least recently used goes first.
 */
export class MemoryCache {
  readonly #entries: LRUCache<string, Buffer>
  readonly maximumBytes: number
  hits = 0
  misses = 0

  constructor(maximumBytes: number) {
    this.maximumBytes = maximumBytes
    this.#entries = new LRUCache({
      maxSize: Math.max(1, maximumBytes),
      // A unit of more than an eighth would push out everything else for one reader.
      maxEntrySize: Math.max(1, Math.floor(maximumBytes / 8)),
      sizeCalculation: (bytes) => Math.max(1, bytes.buffer.byteLength),
    })
  }

  get usedBytes(): number {
    return this.#entries.calculatedSize
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  find(key: string): Buffer | undefined {
    const bytes = this.#entries.get(key)
    if (bytes === undefined) this.misses++
    else this.hits++
    return bytes
  }

  /** `bytes` must own its memory: the whole ArrayBuffer counts, for it stays alive with it. */
  put(key: string, bytes: Buffer): void {
    this.#entries.set(key, bytes)
  }

  remove(key: string): void {
    this.#entries.delete(key)
  }

  /** Everything of one layer, after its bytes turned out to be wrong. */
  removeLayer(digest: string): void {
    for (const key of [...this.#entries.keys()]) if (key.includes(digest)) this.#entries.delete(key)
  }
}
