/**
 * The tar of a layer as a ByteSource: offset -> span -> its compressed bytes through the chunk cache -> inflated from
 * its seek point in the addon -> memory cache. The span is the unit; one longer than `longestKeptSpanBytes` (an
 * encoder that made a single huge deflate block) is decoded in pieces (long-spans.ts).
 */
import type { Lease } from '../blob/buffer-pool.js'
import type { CachedSource } from '../blob/cached-source.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import type { ResidentSpace } from '../blob/resident-spans.js'
import { zeros } from '../blob/zeros.js'
import { inflateSpan } from '../native.js'
import { throwIfAborted, type ReadOptions } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import { SingleFlight } from '../util/single-flight.js'
import { WeightedSemaphore } from '../util/weighted-semaphore.js'
import type { Inflations } from './inflations.js'
import { keepSpan, spanKey } from './kept-spans.js'
import { LongSpans } from './long-spans.js'
import { readWindow } from './read-window.js'
import type { SeekTable, Span } from './seek-table.js'
import { longestKeptSpanBytes } from './span-builder.js'
import type { TarSource } from './tar-source.js'
import { mostUnderWayBytes } from './under-way.js'
import type { FileRange, Windows } from './windows.js'
import type { ZeroMap } from './zero-map.js'
import type { ZstdSpans } from './zstd-spans.js'

const noWindow = Buffer.alloc(0)
/** Readers that go forward, to tell them from random ones: this many recent spans are remembered. */
const rememberedSpans = 32
/** qemu-img has eight requests of 2 MiB under way, which come in any order. */
const spansBehind = 20
/** One for each thread that inflates. */
const spansAhead = 2

export interface SpanSourceOptions {
  readonly digest: string
  readonly spans: SeekTable
  readonly windows: Windows
  readonly zeros: ZeroMap
  readonly compressed: CachedSource
  readonly memory: MemoryCache
  readonly inflations: Inflations
  /** gzip is inflated by Node's zlib, not by our own decoder. */
  readonly zlib: boolean
  /** Where the layer is of zstd frames, which is known as soon as there is a span. */
  readonly zstd: () => ZstdSpans | undefined
}

export class SpanSource implements TarSource {
  readonly #options: SpanSourceOptions
  readonly #inflating = new SingleFlight<string, Lease>()
  readonly #underWay = new WeightedSemaphore(mostUnderWayBytes)
  readonly #long: LongSpans
  readonly #recent = new Set<number>()
  #isRetired = false
  isLost = false

  constructor(options: SpanSourceOptions) {
    this.#options = options
    this.#long = new LongSpans(options, (index) => {
      this.#checkIndexFile(index)
    })
  }

  peekSome(offset: number, length: number): Buffer | undefined {
    const { spans, zeros: map } = this.#options
    const index = spans.find(offset)
    // A span in memory first: it gives all at once where zeros and data alternate.
    const found = index === undefined ? undefined : this.#peekInSpan(index, offset, length)
    if (found !== undefined) return found
    const run = Math.min(map.zerosAt(offset), length)
    return run === 0 ? undefined : zeros(run)
  }

  retire(): void {
    this.#isRetired = true
    this.#long.retire()
    this.#space?.renew()
    this.#options.zstd()?.retire()
  }

  get #space(): ResidentSpace | undefined {
    const { memory, digest } = this.#options
    return memory.resident?.spaceOf(digest)
  }

  covers(offset: number): boolean {
    return this.#options.spans.find(offset) !== undefined
  }

  #peekInSpan(index: number, offset: number, length: number): Buffer | undefined {
    const { spans, memory, digest } = this.#options
    const span = spans.get(index)
    const at = offset - span.uncompressedOffset
    if (span.zero) return zeros(Math.min(length, span.uncompressedLength - at))
    if (!this.#isKept(span)) return undefined
    const found = memory.find(spanKey(digest, span.uncompressedOffset))
    if (found === undefined) return undefined
    this.#readAhead(index)
    return found.bytes.subarray(at, at + length)
  }

  /** Fills the start of `target` from `offset`: resolves to how much, at least one byte; 0 beyond the spans that are known. */
  async readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number> {
    const { spans } = this.#options
    const index = spans.find(offset)
    if (index === undefined) return 0
    const span = spans.get(index)
    const at = offset - span.uncompressedOffset
    if (span.zero) return zeros(Math.min(target.length, span.uncompressedLength - at)).copy(target)
    if (span.uncompressedLength > longestKeptSpanBytes) return this.#long.readSome(index, at, target, options)
    this.#readAhead(index)
    const known = this.#options.memory.peek(spanKey(this.#options.digest, span.uncompressedOffset))
    const found = known ?? (await this.#inflated(index, span, options))
    return found.bytes.copy(target, 0, at)
  }

  async load(offset: number, length: number, options: ReadOptions): Promise<boolean> {
    const { spans, memory, digest } = this.#options
    const index = spans.find(offset)
    if (index === undefined) return false
    const span = spans.get(index)
    if (span.zero) return true
    if (!this.#isKept(span)) return false
    this.#readAhead(index)
    const first = this.#inflated(index, span, options)
    // Not one after another what the same reader waits for.
    const last = spans.find(offset + length - 1) ?? index
    for (let next = index + 1; next <= last; next++) this.#prepare(next)
    await first
    return memory.has(spanKey(digest, span.uncompressedOffset))
  }

  touch(offset: number): void {
    const { spans, memory, digest } = this.#options
    const index = spans.find(offset)
    // Looked at, it is the last one to go.
    if (index === undefined || memory.peek(spanKey(digest, offset)) === undefined) return
    this.#readAhead(index)
  }

  /**
   * A reader that came through the two spans before will want the next ones: they are inflated meanwhile. What lies
   * well behind it was handed on whole, and makes room.
   */
  #readAhead(index: number): void {
    const recent = this.#recent
    if (!recent.has(index)) {
      recent.add(index)
      if (recent.size > rememberedSpans) recent.delete(recent.values().next().value ?? index)
    }
    if (!recent.has(index - 1) || !recent.has(index - 2)) return
    const { spans, memory, digest } = this.#options
    // Not now: somebody may be looking at what makes room.
    setImmediate(() => {
      if (index >= spansBehind)
        memory.remove(spanKey(digest, spans.get(index - spansBehind).uncompressedOffset))
      const end = Math.min(index + 1 + spansAhead, spans.count)
      for (let ahead = index + 1; ahead < end; ahead++) this.#prepare(ahead)
    })
  }

  #prepare(index: number): void {
    const span = this.#options.spans.get(index)
    if (span.zero || !this.#isKept(span)) return
    if (this.#options.memory.has(spanKey(this.#options.digest, span.uncompressedOffset))) return
    // A failure shows itself to whoever reads that span.
    this.#inflated(index, span).catch(() => undefined)
  }

  /** Whole, in memory. */
  #isKept(span: Span): boolean {
    return span.uncompressedLength <= Math.min(longestKeptSpanBytes, this.#options.memory.longestBytes)
  }

  /** To be looked at before anything else is awaited. */
  async #inflated(index: number, span: Span, options: ReadOptions = {}): Promise<Lease> {
    const { digest, memory } = this.#options
    const key = spanKey(digest, span.uncompressedOffset)
    const work = async (abandoned: () => AbortSignal): Promise<Lease> => {
      const lease = await this.#inflateTrusted(index, span, abandoned())
      if (!this.#isRetired) {
        if (this.#isKept(span)) keepSpan(memory, digest, span.uncompressedOffset, lease)
        else memory.put(key, lease)
      }
      // What was offered to readers and not kept is about to be used for something else.
      if (!memory.has(key)) this.#space?.retract(span.uncompressedOffset)
      // All who wait for this flight go on before the event loop does: until then it is held for them.
      setImmediate(() => {
        lease.release()
      })
      return lease
    }
    return this.#inflating.run(key, work, options)
  }

  /**
   * Once more when bytes from the cache cannot be read or do not inflate, with fetched ones where they are wrong: the cache
   * may be broken, never the reader's problem. Nobody else has the window: without it no chunk is doubted or fetched.
   */
  async #inflateTrusted(index: number, span: Span, signal: AbortSignal): Promise<Lease> {
    try {
      return await this.#inflateInTurn(index, span, signal)
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'UNREADABLE')) throw error
      this.#checkIndexFile(index)
      const known = this.#windowOf(index, span)
      const window = Buffer.isBuffer(known) ? known : await readWindow(known, span)
      const { offset, length } = compressedRange(span)
      if (hasCode(error, 'CORRUPT')) await this.#options.compressed.discard(offset, length)
      return this.#inflateInTurn(index, span, signal, window)
    }
  }

  /** GONE when somebody deleted or exchanged the file that holds the window. */
  #checkIndexFile(index: number): void {
    const { windows } = this.#options
    if (Buffer.isBuffer(windows.find(index)) || windows.loss === undefined) return
    this.isLost = true
    throw new RegistryFsError('GONE', windows.loss)
  }

  #windowOf(index: number, span: Span): Buffer | FileRange {
    return span.windowLength === 0 ? noWindow : this.#options.windows.find(index)
  }

  async #inflateInTurn(index: number, span: Span, signal: AbortSignal, checked?: Buffer): Promise<Lease> {
    const zstd = this.#options.zstd()
    const inflate = async (): Promise<Lease> => {
      this.#options.inflations.add(index)
      return zstd === undefined
        ? this.#inflate(index, span, signal, checked)
        : zstd.take(index, span, checked !== undefined)
    }
    // These take turns, and hold nothing until then.
    if (zstd !== undefined && !span.atHeader) return inflate()
    return this.#underWay.run(span.uncompressedLength + compressedRange(span).length, signal, inflate)
  }

  /** `checked`: its window; then it is without files, from which the cache may evict a chunk before it is read, in a small one again and again. */
  async #inflate(index: number, span: Span, signal: AbortSignal, checked?: Buffer): Promise<Lease> {
    const { compressed, memory } = this.#options
    const lengthBytes = span.uncompressedLength
    const { offset, length } = compressedRange(span)
    return memory.pool.lend(length, async (input) => {
      const files =
        checked === undefined
          ? await compressed.fillUnchecked(offset, input)
          : await compressed.fillChecked(offset, input)
      throwIfAborted(signal)
      const known = checked ?? this.#windowOf(index, span)
      const window = Buffer.isBuffer(known) ? known : Buffer.allocUnsafe(known.length)
      const request = {
        input,
        files: Buffer.isBuffer(known) ? files : [...files, { ...known, target: window }],
        bitOffset: span.compressedBitOffset % 8,
        atHeader: span.atHeader,
        zlib: this.#options.zlib,
        window,
        windowLength: span.windowLength,
        skipBytes: 0,
        lengthBytes,
        crc32: span.crc32,
      }
      const offer =
        this.#isKept(span) && !this.#isRetired ? this.#space?.offer(span.uncompressedOffset) : undefined
      return memory.pool.filled(lengthBytes, async ({ bytes }) => inflateSpan(request, bytes, offer))
    })
  }
}

function compressedRange(span: Span): { offset: number; length: number } {
  const offset = Math.floor(span.compressedBitOffset / 8)
  return { offset, length: Math.ceil(span.compressedBitEnd / 8) - offset }
}
