/**
 * The bytes of a blob in order, for the first pass: chunks that the cache has come from there, the others in closed
 * ranges, several under way at once. One connection until `slowStartBytes` have come, then up to `maximumRanges`.
 * Parts of a range are handed on as they arrive, so that the first tar header is seen after the first packets.
 *
 * Everything lies in one ring of chunks. A chunk's place is free when the consumer has released it and the cache has
 * saved it: the ring is the back pressure and the bound on memory. Where it is the consumer that is waited for, ranges
 * become fewer and longer, for a request costs a registry as much as a MiB does.
 */
import type { ArrivingChunks } from '../blob/cached-source.js'
import { chunkBytes, chunkCount, chunkLength, type ChunkCache } from '../blob/chunk-cache.js'
import type { BlobSource } from '../blob/source.js'
import { allocateLarge } from '../native.js'
import { throwIfAborted } from '../util/abort.js'
import type { Digest } from '../util/digest.js'
import { Signal } from '../util/signal.js'

const ringChunks = 32
export const downloadBytes = ringChunks * chunkBytes
const slowStartBytes = 8 << 20
/** While the consumer waits for bytes: short ones where the first of them would keep it waiting. */
const shortRanges = { count: 4, chunks: 4 } as const
/** In order, n connections are all busy only if a range is no more than an nth of the ring. */
const usualRanges = { count: 4, chunks: 8 } as const
/** While bytes wait for the consumer. */
const longRanges = { count: 2, chunks: 16 } as const
/** Beyond this a connection is slow. */
const slowChunkMs = 125
/** A consumer that has nothing left is woken at most once per so many bytes ... */
const leastStepBytes = 128 << 10
/** ... and one that has once per so many. */
const usualStepBytes = 1 << 20

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

/** Chunks that were asked for together; `filledTo` and the like are offsets in the blob. */
interface Range {
  readonly firstChunk: number
  readonly endChunk: number
  readonly end: number
  filledTo: number
  isDone: boolean
  failure: unknown
}

export class OrderedDownload implements ArrivingChunks {
  readonly #options: DownloadOptions
  readonly #controller = new AbortController()
  readonly #ring: Buffer
  /** Of each place in the ring: the consumer, and the cache while it saves the chunk. */
  readonly #holders = new Uint8Array(ringChunks)
  /** In order; what was handed out completely is gone. */
  readonly #ranges: Range[] = []
  /** The chunk at the ring's first place. */
  readonly #firstChunk: number
  readonly #chunkCount: number
  /** Chunks before this one may be overwritten. */
  #freeChunk: number
  /** Chunks from this one on were not asked for yet. */
  #nextChunk: number
  /** Chunks before this one the consumer has released. */
  #releasedChunk: number
  #handedTo: number
  #releasedTo: number
  #arrivedBytes = 0
  /** Whether it is the consumer that is waited for. */
  #isAhead = false
  /** Of the last range, on its connection. */
  #chunkMs = Number.POSITIVE_INFINITY
  readonly #changed = new Signal()
  /** For those who wait for a chunk out of turn. */
  readonly #chunkArrived = new Signal()

  constructor(options: DownloadOptions) {
    this.#options = options
    this.#firstChunk = Math.floor(options.offset / chunkBytes)
    this.#chunkCount = chunkCount(options.blob.size)
    this.#freeChunk = this.#firstChunk
    this.#nextChunk = this.#firstChunk
    this.#releasedChunk = this.#firstChunk
    this.#handedTo = options.offset
    this.#releasedTo = options.offset
    const left = options.blob.size - this.#firstChunk * chunkBytes
    this.#ring = allocateLarge(Math.max(0, Math.min(downloadBytes, left)))
    const stop = (): void => {
      this.#controller.abort(options.signal.reason)
      this.#changed.notify()
      this.#chunkArrived.notify()
    }
    if (options.signal.aborted) stop()
    else options.signal.addEventListener('abort', stop, { once: true, signal: this.#controller.signal })
  }

  /** The next bytes in order, or undefined at the end of the blob. */
  async next(): Promise<DownloadedBytes | undefined> {
    for (;;) {
      throwIfAborted(this.#controller.signal)
      this.#start()
      const range = this.#ranges[0]
      if (range === undefined && this.#nextChunk >= this.#chunkCount) return undefined
      if (range !== undefined) {
        if (range.failure !== undefined) throw range.failure as Error
        if (this.#isReady(range)) return this.#hand(range)
      }
      if (this.#handedTo === this.#releasedTo) this.#isAhead = false
      await this.#changed.wait()
    }
  }

  /** All bytes before `offset` may be overwritten. */
  release(offset: number): void {
    this.#releasedTo = offset
    while (this.#releasedChunk < this.#nextChunk && this.#endOf(this.#releasedChunk) <= offset)
      this.#drop(this.#releasedChunk++)
    this.#wake()
  }

  /** Asked for, and not overwritten yet. */
  has(index: number): boolean {
    return index >= this.#freeChunk && index < this.#nextChunk
  }

  async find(index: number): Promise<Buffer | undefined> {
    while (this.has(index) && !this.#controller.signal.aborted) {
      const range = this.#ranges.find(({ firstChunk, endChunk }) => index >= firstChunk && index < endChunk)
      if (range === undefined || range.filledTo >= this.#endOf(index))
        return Buffer.from(this.#placeOf(index * chunkBytes, chunkLength(this.#options.blob.size, index)))
      if (range.failure !== undefined) return undefined
      await this.#chunkArrived.wait()
    }
    return undefined
  }

  /** Ends all requests; what arrived whole is still saved. */
  close(): void {
    this.#controller.abort()
    this.#changed.notify()
    this.#chunkArrived.notify()
  }

  #isReady(range: Range): boolean {
    const ready = range.filledTo - this.#handedTo
    if (ready <= 0) return false
    // The start of the blob says what it is.
    if (range.filledTo === range.end || this.#handedTo === 0) return true
    return ready >= (this.#handedTo === this.#releasedTo ? leastStepBytes : usualStepBytes)
  }

  #hand(range: Range): DownloadedBytes {
    const offset = this.#handedTo
    this.#handedTo = range.filledTo
    if (range.filledTo === range.end) this.#ranges.shift()
    return { offset, bytes: this.#placeOf(offset, range.filledTo - offset) }
  }

  get #shape(): { readonly count: number; readonly chunks: number } {
    if (this.#chunkMs > slowChunkMs) return shortRanges
    return this.#isAhead ? longRanges : usualRanges
  }

  /** Of the next range, in chunks; 0 when everything was asked for. */
  get #wanted(): number {
    const toRingEnd = ringChunks - ((this.#nextChunk - this.#firstChunk) % ringChunks)
    return Math.min(this.#shape.chunks, this.#chunkCount - this.#nextChunk, toRingEnd)
  }

  /** In chunks. */
  get #room(): number {
    return this.#freeChunk + ringChunks - this.#nextChunk
  }

  #start(): void {
    for (;;) {
      const underWay = this.#ranges.filter((range) => !range.isDone).length
      if (underWay === 0 && this.#room < this.#wanted) this.#isAhead = true
      const chunks = this.#wanted
      const ranges = this.#arrivedBytes < slowStartBytes ? 1 : this.#shape.count
      if (chunks === 0 || underWay >= ranges || this.#room < chunks) return
      const firstChunk = this.#nextChunk
      this.#nextChunk += chunks
      for (let chunk = firstChunk; chunk < this.#nextChunk; chunk++) this.#holders[this.#slotOf(chunk)] = 1
      const range = {
        firstChunk,
        endChunk: this.#nextChunk,
        end: this.#endOf(this.#nextChunk - 1),
        filledTo: firstChunk * chunkBytes,
        isDone: false,
        failure: undefined,
      }
      this.#ranges.push(range)
      void this.#fill(range)
    }
  }

  async #fill(range: Range): Promise<void> {
    const { blob, cache, digest } = this.#options
    try {
      for (let chunk = range.firstChunk; chunk < range.endChunk;) {
        if (cache.has(digest, chunk)) {
          const cached = await cache.find(digest, chunk, chunkLength(blob.size, chunk))
          if (cached !== undefined) {
            cached.copy(this.#placeOf(chunk * chunkBytes, cached.length))
            this.#arrived(range, this.#endOf(chunk))
            chunk++
            continue
          }
        }
        let end = chunk + 1
        while (end < range.endChunk && !cache.has(digest, end)) end++
        await this.#fetch(range, chunk, end)
        chunk = end
      }
      range.isDone = true
    } catch (error) {
      range.failure = error
    }
    this.#changed.notify()
    this.#chunkArrived.notify()
  }

  async #fetch(range: Range, firstChunk: number, endChunk: number): Promise<void> {
    const { blob, cache, digest } = this.#options
    const offset = firstChunk * chunkBytes
    let unsaved = firstChunk
    const take = (filledTo: number): void => {
      for (; unsaved < endChunk && this.#endOf(unsaved) <= filledTo; unsaved++) {
        const chunk = unsaved
        this.#hold(chunk)
        const bytes = this.#placeOf(chunk * chunkBytes, chunkLength(blob.size, chunk))
        void cache.saveLent(digest, chunk, bytes).finally(() => {
          this.#drop(chunk)
          this.#wake()
        })
      }
      this.#arrived(range, filledTo)
    }
    const end = this.#endOf(endChunk - 1)
    const started = performance.now()
    await blob.readInto(offset, this.#placeOf(offset, end - offset), {
      signal: this.#controller.signal,
      isPatient: true,
      onProgress: (filled) => {
        take(offset + filled)
      },
    })
    take(end)
    this.#chunkMs = (performance.now() - started) / (endChunk - firstChunk)
  }

  #arrived(range: Range, filledTo: number): void {
    if (filledTo <= range.filledTo) return
    this.#arrivedBytes += filledTo - range.filledTo
    const crossed = Math.floor(filledTo / chunkBytes) > Math.floor(range.filledTo / chunkBytes)
    range.filledTo = filledTo
    if (crossed || filledTo === range.end) this.#chunkArrived.notify()
    if (range === this.#ranges[0]) this.#wake()
  }

  /** Whoever waits in `next`, if there is something for it to do. */
  #wake(): void {
    const range = this.#ranges[0]
    if (range === undefined || this.#isReady(range) || this.#room >= this.#wanted) this.#changed.notify()
  }

  #hold(chunk: number): void {
    const slot = this.#slotOf(chunk)
    this.#holders[slot] = (this.#holders[slot] ?? 0) + 1
  }

  #drop(chunk: number): void {
    const slot = this.#slotOf(chunk)
    this.#holders[slot] = (this.#holders[slot] ?? 1) - 1
    while (this.#freeChunk < this.#nextChunk && this.#holders[this.#slotOf(this.#freeChunk)] === 0)
      this.#freeChunk++
  }

  #slotOf(chunk: number): number {
    return (chunk - this.#firstChunk) % ringChunks
  }

  #placeOf(offset: number, length: number): Buffer {
    const start = (offset - this.#firstChunk * chunkBytes) % downloadBytes
    return this.#ring.subarray(start, start + length)
  }

  /** In the blob. */
  #endOf(chunk: number): number {
    return Math.min((chunk + 1) * chunkBytes, this.#options.blob.size)
  }
}
