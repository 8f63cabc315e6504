import { SingleFlight } from '../util/single-flight.js'
import type { Digest } from '../util/digest.js'
import { Lease } from './buffer-pool.js'
import type { DiskChunkStore, FilePlace } from './disk-chunk-store.js'
import type { MemoryCache } from './memory-cache.js'

/** Chunk size everywhere: the unit of the cache, of verification and the least that is fetched. */
export const chunkBytes = 1 << 20

/** Units from this index on are not chunks of the blob, but were made of it; 2^29 chunks are 512 TiB. */
const derivedUnits = 2 ** 29
const maximumDerivedBytes = 16 << 20

export function chunkCount(blobBytes: number): number {
  return Math.ceil(blobBytes / chunkBytes)
}

/** Bytes of chunk `index` of a blob of this size: all full but the last. */
export function chunkLength(blobBytes: number, index: number): number {
  return Math.min(chunkBytes, blobBytes - index * chunkBytes)
}

/** Memory before disk. Chunks on their way to the disk are found too. */
export class ChunkCache {
  readonly memory: MemoryCache
  readonly disk: DiskChunkStore
  readonly #saving = new Map<string, Buffer>()
  readonly #background = new Set<Promise<boolean>>()
  readonly #loading = new SingleFlight<string, Buffer | undefined>()

  constructor(memory: MemoryCache, disk: DiskChunkStore) {
    this.memory = memory
    this.disk = disk
  }

  /** Whether `find` would most likely have it, without any I/O. */
  has(digest: Digest, index: number): boolean {
    const key = keyOf(digest, index)
    return this.memory.has(key) || this.#saving.has(key) || this.disk.has(digest, index)
  }

  /** Checked; a view that must not be written to; undefined when the chunk is nowhere. */
  async find(digest: Digest, index: number, payloadBytes: number): Promise<Buffer | undefined> {
    const key = keyOf(digest, index)
    const saving = this.#saving.get(key)
    // The buffer that is being written belongs to its owner, who reuses it as soon as the write is done.
    if (saving !== undefined) return Buffer.from(saving)
    const cached = this.memory.find(key)
    if (cached !== undefined) return cached.bytes
    return this.#loading.run(key, async () => {
      const loaded = await this.disk.load(digest, index, payloadBytes)
      // Unless it was thrown away meanwhile.
      if (loaded !== undefined && this.disk.has(digest, index)) this.memory.put(key, Lease.of(loaded))
      return loaded
    })
  }

  /** A chunk that needs no fetching, or where it lies on disk, unchecked: for who can tell whether it is right. */
  locate(digest: Digest, index: number): Buffer | FilePlace | undefined {
    const key = keyOf(digest, index)
    return this.#saving.get(key) ?? this.memory.peek(key)?.bytes ?? this.disk.place(digest, index)
  }

  /**
   * Keeps a chunk whose bytes the caller lends: they must not change until this resolves. On disk where it can be,
   * else a copy in memory.
   */
  async saveLent(digest: Digest, index: number, payload: Buffer): Promise<void> {
    const key = keyOf(digest, index)
    this.#saving.set(key, payload)
    try {
      const saved = await this.#inBackground(this.disk.save(digest, index, payload))
      // Unless it was thrown away meanwhile.
      if (!saved && this.#saving.get(key) === payload) this.memory.put(key, Lease.of(copyOf(payload)))
    } finally {
      if (this.#saving.get(key) === payload) this.#saving.delete(key)
    }
  }

  /** Keeps a chunk that owns its memory: in memory now, on disk in the background. */
  put(digest: Digest, index: number, payload: Buffer): void {
    this.memory.put(keyOf(digest, index), Lease.of(payload))
    void this.#inBackground(this.disk.save(digest, index, payload))
  }

  /** The same without waiting, where the memory has it. */
  findNow(digest: Digest, index: number): Buffer | undefined {
    const key = keyOf(digest, index)
    return this.memory.has(key) ? this.memory.find(key)?.bytes : undefined
  }

  /** Keeps what was made of a blob on disk only. */
  async saveDerived(digest: Digest, index: number, payload: Buffer): Promise<void> {
    await this.#inBackground(this.disk.save(digest, derivedUnits + index, payload))
  }

  /** What `saveDerived` kept. */
  async loadDerived(digest: Digest, index: number): Promise<Buffer | undefined> {
    const bytes = this.disk.payloadBytesOf(digest, derivedUnits + index)
    return bytes === undefined || bytes > maximumDerivedBytes
      ? undefined
      : this.disk.load(digest, derivedUnits + index, bytes)
  }

  /** Waits for everything that is being written. */
  async settle(): Promise<void> {
    await Promise.all(this.#background)
  }

  async #inBackground(saving: Promise<boolean>): Promise<boolean> {
    this.#background.add(saving)
    return saving.finally(() => this.#background.delete(saving))
  }

  async remove(digest: Digest, index: number): Promise<void> {
    const key = keyOf(digest, index)
    this.#saving.delete(key)
    this.memory.remove(key)
    await this.disk.remove(digest, index)
  }

  async removeBlob(digest: Digest): Promise<void> {
    for (const key of [...this.#saving.keys()]) if (key.includes(digest)) this.#saving.delete(key)
    this.memory.removeLayer(digest)
    await this.disk.removeBlob(digest)
  }
}

function keyOf(digest: Digest, index: number): string {
  return `chunk:${digest}:${String(index)}`
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}
