import type { Lease } from '../blob/buffer-pool.js'
import type { ChunkCache } from '../blob/chunk-cache.js'
import { decodeZstdSpan, compressZstd } from '../zstd/zstd.js'
import type { Digest } from '../util/digest.js'
import { Signal } from '../util/signal.js'

/** More that waits to be saved than this, and whoever makes it should wait. */
const maximumPending = 4

/**
 * Spans of a layer that only a decoder which began at the start of a long frame can make: once made they are kept on
 * disk, each compressed by itself, among the blob's chunks and under the same cap. Keeping may fail; then they are made
 * again. What is kept is proven by the CRC-32 that the index has of a span.
 */
export class DecodedSpans {
  readonly #digest: Digest
  readonly #cache: ChunkCache
  readonly #saving = new Map<number, Lease>()
  readonly #saved = new Signal()

  constructor(digest: Digest, cache: ChunkCache) {
    this.#digest = digest
    this.#cache = cache
  }

  get isBusy(): boolean {
    return this.#saving.size >= maximumPending
  }

  /** Resolves once something was saved. */
  async wait(): Promise<void> {
    await this.#saved.wait()
  }

  /** Holds the lease until it is saved. */
  keep(index: number, lease: Lease): void {
    if (this.#saving.has(index)) return
    this.#saving.set(index, lease.hold())
    void this.#save(index, lease)
  }

  /** Fills `target`; false when it is not kept. */
  async find(index: number, target: Buffer, crc32: number): Promise<boolean> {
    const saving = this.#saving.get(index)
    if (saving !== undefined) return saving.bytes.copy(target) === target.length
    const input = await this.#cache.loadDerived(this.#digest, index)
    if (input === undefined) return false
    return decodeZstdSpan({ input, skipBytes: 0, crc32 }, target).then(
      () => true,
      () => false,
    )
  }

  async #save(index: number, lease: Lease): Promise<void> {
    try {
      await this.#cache.saveDerived(this.#digest, index, await compressZstd(lease.bytes))
    } catch {
      // It is made again when it is needed.
    } finally {
      this.#saving.delete(index)
      lease.release()
      this.#saved.notify()
    }
  }
}
