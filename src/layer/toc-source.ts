import { createHash } from 'node:crypto'
import { Lease } from '../blob/buffer-pool.js'
import type { CachedSource } from '../blob/cached-source.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import { zeros } from '../blob/zeros.js'
import { inflateSpan } from '../native.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import { SingleFlight } from '../util/single-flight.js'
import { decodeZstdSpan } from '../zstd/zstd.js'
import type { Inflations } from './inflations.js'
import { spanKey } from './kept-spans.js'
import type { TarSource } from './tar-source.js'
import type { TocChunk } from './toc-chunks.js'

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

  constructor(options: TocSourceOptions) {
    this.#options = options
  }

  peekSome(offset: number, length: number): Buffer | undefined {
    const chunk = this.#find(offset)
    if (chunk === undefined) return undefined
    const at = offset - chunk.uncompressedOffset
    if (chunk.isZeros) return zeros(Math.min(length, chunk.uncompressedLength - at))
    return this.#options.memory.peek(this.#keyOf(chunk))?.bytes.subarray(at, at + length)
  }

  covers(offset: number): boolean {
    return this.#find(offset) !== undefined
  }

  async readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number> {
    const known = this.peekSome(offset, target.length)
    if (known !== undefined) return known.copy(target)
    const chunk = this.#find(offset)
    if (chunk === undefined) return 0
    const key = this.#keyOf(chunk)
    const decoding = this.#decoding.run(key, async () => {
      const lease = await this.#decodeTrusted(chunk)
      this.#options.memory.put(key, lease)
      return lease
    })
    const lease = await abortable(decoding, options.signal)
    return lease.bytes.copy(target, 0, offset - chunk.uncompressedOffset)
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
    inflations.add(this.#indexOf(chunk.uncompressedOffset))
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

  #find(offset: number): TocChunk | undefined {
    const chunk = this.#options.chunks[this.#indexOf(offset)]
    const isIn =
      chunk !== undefined && offset >= 0 && offset < chunk.uncompressedOffset + chunk.uncompressedLength
    return isIn ? chunk : undefined
  }

  /** Of the last chunk that begins at or before `offset`; 0 before the first one. */
  #indexOf(offset: number): number {
    const { chunks } = this.#options
    let low = 0
    let high = chunks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((chunks[middle]?.uncompressedOffset ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  #keyOf(chunk: TocChunk): string {
    return spanKey(this.#options.digest, chunk.uncompressedOffset)
  }
}
