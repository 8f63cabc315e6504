import { createHash } from 'node:crypto'
import { Lease } from '../blob/buffer-pool.js'
import type { CachedSource } from '../blob/cached-source.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import { zeros } from '../blob/zeros.js'
import { inflateSpan } from '../native.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import { SingleFlight } from '../util/single-flight.js'
import { WeightedSemaphore } from '../util/weighted-semaphore.js'
import { decodeZstdSpan } from '../zstd/zstd.js'
import type { Inflations } from './inflations.js'
import { spanKey } from './kept-spans.js'
import type { TarSource } from './tar-source.js'
import type { TocChunk } from './toc-chunks.js'
import { mostUnderWayBytes } from './under-way.js'

/** Whoever has come so far without a gap goes on; a random read is shorter, and chunks may be. */
const sequentialBytes = 2 << 20
/** What is decoded ahead: two chunks, one for each thread that decodes, or more where they are short. */
const chunksAhead = 2
const bytesAhead = 2 << 20
const mostAtOnce = 64
/** Of those that were read lately, to tell who goes forward. */
const rememberedChunks = 1024

export interface TocSourceOptions {
  readonly digest: string
  readonly codec: 'gzip' | 'zstd'
  /** In order, without gaps. */
  readonly chunks: readonly TocChunk[]
  readonly compressed: CachedSource
  readonly memory: MemoryCache
  readonly inflations: Inflations
  /** gzip is inflated by Node's zlib, not by our own decoder. */
  readonly zlib: boolean
}

/** The contents of all files of a layer with a table of contents: each chunk has its digest there, and is held against it. */
export class TocSource implements TarSource {
  readonly #options: TocSourceOptions
  readonly #decoding = new SingleFlight<string, Lease>()
  readonly #underWay = new WeightedSemaphore(mostUnderWayBytes)
  readonly #recent = new Set<number>()
  #last = -1
  /** Of what was decoded ahead of a reader: the chunk behind it, and how many it was. */
  #aheadEnd = 0
  #aheadCount = 0

  constructor(options: TocSourceOptions) {
    this.#options = options
  }

  peekSome(offset: number, length: number): Buffer | undefined {
    const index = this.#find(offset)
    const chunk = this.#options.chunks[index]
    if (chunk === undefined) return undefined
    this.#readAhead(index)
    const at = offset - chunk.uncompressedOffset
    if (chunk.isZeros) return zeros(Math.min(length, chunk.uncompressedLength - at))
    return this.#options.memory.peek(this.#keyOf(chunk))?.bytes.subarray(at, at + length)
  }

  covers(offset: number): boolean {
    return this.#find(offset) >= 0
  }

  async readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number> {
    const known = this.peekSome(offset, target.length)
    if (known !== undefined) return known.copy(target)
    const chunk = this.#options.chunks[this.#find(offset)]
    if (chunk === undefined) return 0
    const lease = await abortable(this.#chunk(chunk), options.signal)
    return lease.bytes.copy(target, 0, offset - chunk.uncompressedOffset)
  }

  /** All that is asked for at once: short chunks one by one would take as many turns. */
  async load(offset: number, length: number, options: ReadOptions): Promise<boolean> {
    const { chunks, memory } = this.#options
    const first = this.#find(offset)
    const loading: Promise<Lease>[] = []
    for (let index = Math.max(first, 0); loading.length < mostAtOnce; index++) {
      const chunk = chunks[index]
      if (chunk === undefined || chunk.uncompressedOffset >= offset + length) break
      if (this.#isKept(chunk)) loading.push(this.#chunk(chunk))
    }
    await abortable(Promise.all(loading), options.signal)
    const chunk = chunks[first]
    return chunk !== undefined && (chunk.isZeros || memory.has(this.#keyOf(chunk)))
  }

  /** In memory, once it was decoded. */
  #isKept({ isZeros, uncompressedLength }: TocChunk): boolean {
    return !isZeros && uncompressedLength <= this.#options.memory.longestBytes
  }

  /** A reader that goes forward will want the next chunks: they are decoded meanwhile. */
  #readAhead(index: number): void {
    if (index === this.#last) return
    this.#last = index
    const recent = this.#recent
    recent.add(index)
    if (recent.size > rememberedChunks) recent.delete(recent.values().next().value ?? index)
    // Not for each of many short ones.
    const isEnough =
      index < this.#aheadEnd - this.#aheadCount / 2 && index >= this.#aheadEnd - this.#aheadCount
    if (isEnough || !this.#isSequential(index)) return
    // Not now: somebody may be looking at what makes room.
    setImmediate(() => {
      this.#prepareFrom(index + 1)
    })
  }

  #isSequential(index: number): boolean {
    const { chunks } = this.#options
    let bytes = 0
    for (let before = index - 1; this.#recent.has(before); before--) {
      bytes += chunks[before]?.uncompressedLength ?? 0
      if (index - before >= 2 && bytes >= sequentialBytes) return true
    }
    return false
  }

  #prepareFrom(first: number): void {
    const { chunks, memory } = this.#options
    let bytes = 0
    let index = first
    for (; index < first + mostAtOnce; index++) {
      const chunk = chunks[index]
      if (chunk === undefined || (index >= first + chunksAhead && bytes >= bytesAhead)) break
      bytes += chunk.uncompressedLength
      if (!this.#isKept(chunk) || memory.has(this.#keyOf(chunk))) continue
      // A failure shows itself to whoever reads that chunk.
      this.#chunk(chunk).catch(() => undefined)
    }
    this.#aheadEnd = index
    this.#aheadCount = index - first
  }

  async #chunk(chunk: TocChunk): Promise<Lease> {
    const key = this.#keyOf(chunk)
    const known = this.#options.memory.peek(key)
    if (known !== undefined) return known
    return this.#decoding.run(key, async () => {
      const weight = chunk.uncompressedLength + chunk.compressedEnd - chunk.compressedOffset
      const lease = await this.#underWay.run(weight, undefined, async () => this.#decodeTrusted(chunk))
      this.#options.memory.put(key, lease)
      return lease
    })
  }

  /** Once more with fetched bytes when those from the cache are not what they should be. */
  async #decodeTrusted(chunk: TocChunk): Promise<Lease> {
    try {
      return await this.#decode(chunk)
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'DIGEST_MISMATCH')) throw error
      const { compressedOffset, compressedEnd } = chunk
      await this.#options.compressed.discard(compressedOffset, compressedEnd - compressedOffset)
      return this.#decode(chunk)
    }
  }

  async #decode(chunk: TocChunk): Promise<Lease> {
    const { compressed, codec, inflations } = this.#options
    const { compressedOffset, compressedEnd, skipBytes, uncompressedLength, sha256 } = chunk
    const input = await compressed.read(compressedOffset, compressedEnd - compressedOffset)
    // Most are far smaller than what the pool gives.
    const lease = Lease.of(Buffer.allocUnsafeSlow(uncompressedLength))
    inflations.add(this.#find(chunk.uncompressedOffset))
    if (codec === 'zstd') await decodeZstdSpan({ input, skipBytes, crc32: undefined }, lease.bytes)
    else
      await inflateSpan(
        {
          input,
          bitOffset: 0,
          atHeader: true,
          zlib: this.#options.zlib,
          window: Buffer.alloc(0),
          windowLength: 0,
          skipBytes,
          lengthBytes: uncompressedLength,
          crc32: undefined,
        },
        lease.bytes,
      )
    if (createHash('sha256').update(lease.bytes).digest('hex') !== sha256)
      throw new RegistryFsError('DIGEST_MISMATCH', 'a chunk is not what the table of contents says', {
        offset: compressedOffset,
      })
    return lease
  }

  /** The chunk that an offset is in; -1 for none. */
  #find(offset: number): number {
    const { chunks } = this.#options
    let low = 0
    let high = chunks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((chunks[middle]?.uncompressedOffset ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    const chunk = chunks[low]
    const isIn =
      chunk !== undefined && offset >= 0 && offset < chunk.uncompressedOffset + chunk.uncompressedLength
    return isIn ? low : -1
  }

  #keyOf(chunk: TocChunk): string {
    return spanKey(this.#options.digest, chunk.uncompressedOffset)
  }
}
