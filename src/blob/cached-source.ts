/**
 * A blob read through the chunk cache. A miss fetches whole chunks, adjacent ones in one range; each chunk that the
 * index has a seal for is checked against it, so that bytes which come long after the first pass are still the
 * manifest's. Readers that go forward get larger ranges: 1, 1, 2, 4, then 8 chunks.
 */
import { chunkSeal, type FilePart } from '../native.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import type { Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { piecesOf } from '../util/range.js'
import { chunkBytes, chunkCount, chunkLength, type ChunkCache } from './chunk-cache.js'
import { PassingChunks } from './passing-chunks.js'
import { clampLength, type BlobSource, type ByteSource } from './source.js'

const longestRangeChunks = 8
/** A disk that is slower than the network must not fill the memory: what came by beyond this is not kept. */
const mostPassingSaves = 8

/** Chunks that somebody else fetches at the moment. */
export interface ArrivingChunks {
  has(index: number): boolean
  /** The whole chunk once it is there; undefined when it does not come. */
  find(index: number): Promise<Buffer | undefined>
}

const nothingArrives: ArrivingChunks = { has: () => false, find: async () => Promise.resolve(undefined) }

export class CachedSource implements ByteSource {
  readonly size: number
  readonly #digest: Digest
  readonly #blob: BlobSource
  readonly #cache: ChunkCache
  /** What the first pass sealed a chunk with (native.ts, chunkSeal); undefined until then. */
  readonly #sealOf: (index: number) => Buffer | undefined
  readonly #fetching = new Map<number, Promise<Buffer>>()
  readonly #arriving: ArrivingChunks
  #nextExpected = -1
  /** Under way to the disk, of what came by. */
  #passingSaves = 0
  /** Ranges one after another. */
  #streak = 0

  constructor(
    digest: Digest,
    blob: BlobSource,
    cache: ChunkCache,
    sealOf: (index: number) => Buffer | undefined,
    arriving: ArrivingChunks = nothingArrives,
  ) {
    this.size = blob.size
    this.#digest = digest
    this.#blob = blob
    this.#cache = cache
    this.#sealOf = sealOf
    this.#arriving = arriving
  }

  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Buffer> {
    const wanted = clampLength(this.size, offset, length)
    if (wanted === 0) return Buffer.alloc(0)
    const { first, end } = piecesOf(offset, wanted, chunkBytes)
    // Whole chunks are for what is kept, or can be checked by its seal.
    if (this.#blob.isLocal === true && this.#sealOf(first) === undefined)
      return this.#blob.read(offset, wanted, options)
    const chunks = await Promise.all(
      Array.from({ length: end - first }, async (_, i) => this.#chunk(first + i, end, options)),
    )
    const start = offset - first * chunkBytes
    const only = chunks.length === 1 ? chunks[0] : undefined
    if (only !== undefined) return only.subarray(start, start + wanted)
    const joined = Buffer.allocUnsafeSlow(wanted)
    let filled = 0
    for (const chunk of chunks) filled += chunk.copy(joined, filled, filled === 0 ? start : 0)
    return joined
  }

  /** Up to `length` bytes from `offset`, those that are in memory in one piece; good until anything is awaited. */
  peekSome(offset: number, length: number): Buffer | undefined {
    const index = Math.floor(offset / chunkBytes)
    const at = offset - index * chunkBytes
    return this.#cache.findNow(this.#digest, index)?.subarray(at, at + length)
  }

  /** Fills `target` from `offset` with what was checked: no part of a file is left to be read. */
  async fillChecked(offset: number, target: Buffer): Promise<readonly FilePart[]> {
    const bytes = await this.read(offset, target.length)
    bytes.copy(target)
    return []
  }

  /**
   * Fills `target` from `offset`, but for what lies on disk: that comes back as parts of files, unread and so unchecked.
   * For who checks what comes of it, and then discards.
   */
  async fillUnchecked(
    offset: number,
    target: Buffer,
    options: ReadOptions = {},
  ): Promise<readonly FilePart[]> {
    if (this.#blob.isLocal === true) {
      await this.#blob.readInto(offset, target, options)
      return []
    }
    const { first, end } = piecesOf(offset, target.length, chunkBytes)
    const files: FilePart[] = []
    const fetches: Promise<void>[] = []
    for (let index = first; index < end; index++) {
      const start = Math.max(offset, index * chunkBytes)
      const part = target.subarray(start - offset, (index + 1) * chunkBytes - offset)
      const within = start - index * chunkBytes
      const found = this.#fetching.has(index) ? undefined : this.#cache.locate(this.#digest, index)
      if (found === undefined) {
        const copy = this.#chunk(index, end, options).then((chunk) => void chunk.copy(part, 0, within))
        fetches.push(copy)
      } else if (Buffer.isBuffer(found)) found.copy(part, 0, within)
      else files.push({ path: found.path, offset: found.offset + within, target: part })
    }
    // All of them: `target` is somebody else's as soon as this has failed.
    const failed = (await Promise.allSettled(fetches)).find(({ status }) => status === 'rejected')
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason as Error
    return files
  }

  /** Forgets what is cached of these bytes, for they did not inflate; the next read fetches them anew. */
  async discard(offset: number, length: number): Promise<void> {
    const { first, end } = piecesOf(offset, clampLength(this.size, offset, length), chunkBytes)
    for (let index = first; index < end; index++) await this.#cache.remove(this.#digest, index)
  }

  async #chunk(index: number, wantedEnd: number, options: ReadOptions): Promise<Buffer> {
    const running = this.#fetching.get(index)
    if (running !== undefined) return abortable(running, options.signal)
    const find = async (): Promise<Buffer | undefined> =>
      this.#cache.find(this.#digest, index, chunkLength(this.size, index))
    const found =
      (await abortable(find(), options.signal)) ??
      (await abortable(this.#arriving.find(index), options.signal)) ??
      // It may have arrived and gone on to the cache between the two.
      (await abortable(find(), options.signal))
    return found ?? abortable(this.#fetching.get(index) ?? this.#fetchFrom(index, wantedEnd), options.signal)
  }

  /** Starts one range at chunk `index`, as long as chunks are missing, and returns that chunk's promise. */
  async #fetchFrom(index: number, wantedEnd: number): Promise<Buffer> {
    this.#streak = index === this.#nextExpected ? this.#streak + 1 : 0
    const wanted = Math.max(1, wantedEnd - index, 2 ** Math.max(0, this.#streak - 1))
    const limit = Math.min(chunkCount(this.size), index + Math.min(longestRangeChunks, wanted))
    let end = index + 1
    while (end < limit && this.#isMissing(end)) end++
    this.#nextExpected = end
    const range = this.#fetchRange(index, end)
    for (let i = index; i < end; i++) {
      const chunk = range
        .then((chunks) => chunks[i - index] as Buffer)
        .finally(() => this.#fetching.delete(i))
      chunk.catch(() => undefined)
      this.#fetching.set(i, chunk)
    }
    return this.#fetching.get(index) as Promise<Buffer>
  }

  #isMissing(index: number): boolean {
    return !this.#fetching.has(index) && !this.#cache.has(this.#digest, index) && !this.#arriving.has(index)
  }

  async #fetchRange(first: number, end: number): Promise<readonly Buffer[]> {
    const chunks = Array.from({ length: end - first }, (_, i) =>
      Buffer.allocUnsafeSlow(chunkLength(this.size, first + i)),
    )
    const offset = first * chunkBytes
    const only = chunks.length === 1 ? chunks[0] : undefined
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    const passing = this.#passingChunks()
    const options = {
      onPassing: (at: number, bytes: Buffer) => {
        passing.add(at, bytes)
      },
    }
    if (only !== undefined) await this.#blob.readInto(offset, only, options)
    else {
      const whole = Buffer.allocUnsafeSlow(length)
      await this.#blob.readInto(offset, whole, options)
      chunks.forEach((chunk, i) => whole.copy(chunk, 0, i * chunkBytes))
    }
    try {
      for (const [i, chunk] of chunks.entries()) this.#verify(first + i, chunk)
    } catch (error) {
      if (this.#blob.distrust?.(offset, length) === true) return this.#fetchRange(first, end)
      throw error
    }
    for (const [i, chunk] of chunks.entries()) this.#cache.put(this.#digest, first + i, chunk)
    return chunks
  }

  /** What a server without ranges sends before the bytes that are wanted is kept: readers go backwards, too. */
  #passingChunks(): PassingChunks {
    return new PassingChunks({
      size: this.size,
      isWanted: (index) => this.#passingSaves < mostPassingSaves && this.#isMissing(index),
      onChunk: (index, chunk) => {
        try {
          this.#verify(index, chunk)
        } catch {
          // Whoever wants it will be told.
          return
        }
        this.#passingSaves++
        void this.#cache.saveLent(this.#digest, index, chunk).finally(() => this.#passingSaves--)
      },
    })
  }

  #verify(index: number, chunk: Buffer): void {
    const seal = this.#sealOf(index)
    const before = index === 0 ? undefined : this.#sealOf(index - 1)
    if (seal === undefined || (index > 0 && before === undefined)) return
    if (seal.equals(chunkSeal(chunk, before, { index, chunkBytes }))) return
    throw new RegistryFsError('DIGEST_MISMATCH', 'the registry sent other bytes than in the first pass', {
      layer: this.#digest,
      offset: index * chunkBytes,
    })
  }
}
