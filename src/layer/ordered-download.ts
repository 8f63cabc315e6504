/**
 * The bytes of a blob in order, for the first pass: chunks that the cache has come from there, the others in closed
 * ranges, several under way at once. One connection until `slowStartBytes` have come, then up to `maximumRanges`.
 * Parts of a range are handed on as they arrive, so that the first tar header is seen after the first packets.
 *
 * Buffers come from a small pool and go back when the consumer has released the part and the cache has saved its
 * chunks: the pool is the back pressure and the bound on memory.
 */
import { chunkBytes, chunkLength, type ChunkCache } from '../blob/chunk-cache.js'
import type { BlobSource } from '../blob/source.js'
import { throwIfAborted } from '../util/abort.js'
import type { Digest } from '../util/digest.js'
import { Signal } from '../util/signal.js'

const partChunks = 4
export const partBytes = partChunks * chunkBytes
const slowStartBytes = 8 << 20
const maximumRanges = 4
/** Ranges under way plus those that wait for the inflater or for the disk. */
const poolBuffers = 8
export const downloadBytes = poolBuffers * partBytes
/** A consumer is woken at most once per so many bytes. */
const stepBytes = 128 << 10

export interface DownloadOptions {
  readonly digest: Digest
  readonly blob: BlobSource
  readonly cache: ChunkCache
  /** First byte wanted. */
  readonly offset: number
  readonly signal: AbortSignal
}

/** Bytes that belong to the consumer until it calls release. */
export interface DownloadedBytes {
  readonly offset: number
  readonly bytes: Buffer
}

class Part {
  readonly offset: number
  readonly buffer: Buffer
  readonly length: number
  filled = 0
  /** Bytes that the consumer has been given. */
  handed: number
  done = false
  failure: unknown
  /** The consumer, the fetch and each chunk that is being saved. */
  holders = 2

  constructor(buffer: Buffer, offset: number, length: number, skip: number) {
    this.buffer = buffer
    this.offset = offset
    this.length = length
    this.handed = skip
  }

  get end(): number {
    return this.offset + this.length
  }
}

export class OrderedDownload {
  readonly #options: DownloadOptions
  readonly #controller = new AbortController()
  readonly #free: Buffer[] = []
  #allocated = 0
  readonly #parts: Part[] = []
  /** Handed out completely, not yet released. */
  readonly #unreleased: Part[] = []
  #nextOffset: number
  #arrivedBytes = 0
  readonly #changed = new Signal()

  constructor(options: DownloadOptions) {
    this.#options = options
    this.#nextOffset = Math.floor(options.offset / chunkBytes) * chunkBytes
    const stop = (): void => {
      this.#controller.abort(options.signal.reason)
      this.#changed.notify()
    }
    if (options.signal.aborted) stop()
    else options.signal.addEventListener('abort', stop, { once: true, signal: this.#controller.signal })
  }

  /** The next bytes in order, or undefined at the end of the blob. */
  async next(): Promise<DownloadedBytes | undefined> {
    for (;;) {
      throwIfAborted(this.#controller.signal)
      this.#start()
      const part = this.#parts[0]
      if (part === undefined && this.#nextOffset >= this.#options.blob.size) return undefined
      if (part !== undefined) {
        if (part.failure !== undefined) throw part.failure as Error
        const ready = part.filled - part.handed
        if (
          ready >= stepBytes ||
          (ready > 0 && part.filled === part.length) ||
          (ready > 0 && part.offset === 0)
        ) {
          const bytes = part.buffer.subarray(part.handed, part.filled)
          const offset = part.offset + part.handed
          part.handed = part.filled
          if (part.handed === part.length) this.#unreleased.push(...this.#parts.splice(0, 1))
          return { offset, bytes }
        }
      }
      await this.#changed.wait()
    }
  }

  /** All bytes before `offset` may be overwritten. */
  release(offset: number): void {
    for (
      let part = this.#unreleased[0];
      part !== undefined && part.end <= offset;
      part = this.#unreleased[0]
    ) {
      this.#unreleased.shift()
      this.#drop(part)
    }
  }

  /** Ends all requests; what arrived whole is still saved. */
  close(): void {
    this.#controller.abort()
    this.#changed.notify()
  }

  #start(): void {
    const wanted = this.#arrivedBytes < slowStartBytes ? 1 : maximumRanges
    while (
      this.#nextOffset < this.#options.blob.size &&
      this.#parts.filter((part) => !part.done).length < wanted &&
      (this.#free.length > 0 || this.#allocated < poolBuffers)
    ) {
      const buffer = this.#free.pop() ?? this.#allocate()
      const length = Math.min(partBytes, this.#options.blob.size - this.#nextOffset)
      const skip = Math.max(0, this.#options.offset - this.#nextOffset)
      const part = new Part(buffer, this.#nextOffset, length, skip)
      this.#nextOffset += length
      this.#parts.push(part)
      void this.#fill(part)
    }
  }

  #allocate(): Buffer {
    this.#allocated++
    return Buffer.allocUnsafeSlow(Math.min(partBytes, this.#options.blob.size))
  }

  async #fill(part: Part): Promise<void> {
    const { blob, cache, digest } = this.#options
    try {
      const first = part.offset / chunkBytes
      const count = Math.ceil(part.length / chunkBytes)
      for (let i = 0; i < count;) {
        if (cache.has(digest, first + i)) {
          const cached = await cache.find(digest, first + i, chunkLength(blob.size, first + i))
          if (cached !== undefined) {
            cached.copy(part.buffer, i * chunkBytes)
            this.#arrived(part, i * chunkBytes + cached.length)
            i++
            continue
          }
        }
        let end = i + 1
        while (end < count && !cache.has(digest, first + end)) end++
        await this.#fetch(part, i, end)
        i = end
      }
      part.done = true
    } catch (error) {
      part.failure = error
    }
    this.#drop(part)
    this.#changed.notify()
  }

  async #fetch(part: Part, firstChunk: number, endChunk: number): Promise<void> {
    const { blob, cache, digest } = this.#options
    const start = firstChunk * chunkBytes
    const length = Math.min(part.length, endChunk * chunkBytes) - start
    let saved = firstChunk
    const save = (filled: number): void => {
      for (; saved < endChunk; saved++) {
        const index = part.offset / chunkBytes + saved
        const chunkEnd = saved * chunkBytes + chunkLength(blob.size, index)
        if (chunkEnd > filled) break
        part.holders++
        const chunk = part.buffer.subarray(saved * chunkBytes, chunkEnd)
        void cache.saveLent(digest, index, chunk).finally(() => {
          this.#drop(part)
        })
      }
    }
    await blob.readInto(part.offset + start, part.buffer.subarray(start, start + length), {
      signal: this.#controller.signal,
      onProgress: (filled) => {
        save(start + filled)
        this.#arrived(part, start + filled)
      },
    })
    save(start + length)
    this.#arrived(part, start + length)
  }

  #arrived(part: Part, filled: number): void {
    if (filled <= part.filled) return
    this.#arrivedBytes += filled - part.filled
    part.filled = filled
    if (part === this.#parts[0]) this.#changed.notify()
  }

  #drop(part: Part): void {
    if (--part.holders > 0) return
    this.#free.push(part.buffer)
    this.#changed.notify()
  }
}
