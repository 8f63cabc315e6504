/**
 * The tar of a layer as a ByteSource: offset -> span -> its compressed bytes through the chunk cache -> inflated from
 * its seek point in the addon -> memory cache. The span is the unit; one longer than `longestKeptSpanBytes` (an
 * encoder that made a single huge deflate block) is read in pieces, each inflated from the span's start.
 */
import type { Lease } from '../blob/buffer-pool.js'
import type { CachedSource } from '../blob/cached-source.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import type { ByteSource } from '../blob/source.js'
import { inflateSpan, type FilePart } from '../native.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { hasCode } from '../util/errors.js'
import { SingleFlight } from '../util/single-flight.js'
import type { SeekTable, Span } from './seek-table.js'
import { longestKeptSpanBytes, spanKey } from './span-builder.js'
import type { TarSource } from './tar-source.js'
import type { Windows } from './windows.js'
import type { ZeroMap } from './zero-map.js'
import type { ZstdSpans } from './zstd-spans.js'

const pieceBytes = 8 << 20
const noWindow = Buffer.alloc(0)
/** Readers that go forward, to tell them from random ones: this many recent spans are remembered. */
const rememberedSpans = 32
/** One for each thread that inflates. */
const spansAhead = 2

export interface SpanSourceOptions {
  readonly digest: string
  readonly spans: SeekTable
  readonly windows: Windows
  readonly zeros: ZeroMap
  readonly compressed: CachedSource
  readonly memory: MemoryCache
  /** Where the layer is of zstd frames. */
  readonly zstd?: ZstdSpans | undefined
}

export class SpanSource implements TarSource {
  readonly #options: SpanSourceOptions
  readonly #inflating = new SingleFlight<string, Lease>()
  readonly #recent = new Set<number>()
  /** Spans inflated so far, for status and benchmarks. */
  inflated = 0

  constructor(options: SpanSourceOptions) {
    this.#options = options
  }

  /** The same as readSome where it needs neither fetching nor inflating; 0 else. */
  findSome(offset: number, target: Buffer): number {
    const { spans, zeros } = this.#options
    const index = spans.find(offset)
    // A span in memory first: it gives all at once where zeros and data alternate.
    const found = index === undefined ? 0 : this.#findInSpan(index, offset, target)
    return found > 0 ? found : fillZeros(target, zeros.zerosAt(offset))
  }

  covers(offset: number): boolean {
    return this.#options.spans.find(offset) !== undefined
  }

  #findInSpan(index: number, offset: number, target: Buffer): number {
    const { spans, memory, digest } = this.#options
    const span = spans.get(index)
    const at = offset - span.uncompressedOffset
    if (span.zero) return fillZeros(target, span.uncompressedLength - at)
    if (span.uncompressedLength > longestKeptSpanBytes) return 0
    const found = memory.find(spanKey(digest, span.uncompressedOffset))
    if (found === undefined) return 0
    this.#readAhead(index)
    return found.bytes.copy(target, 0, at)
  }

  /** Fills the start of `target` from `offset`: resolves to how much, at least one byte; 0 beyond the spans that are known. */
  async readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number> {
    const { spans } = this.#options
    const index = spans.find(offset)
    if (index === undefined) return 0
    const span = spans.get(index)
    const at = offset - span.uncompressedOffset
    if (span.zero) return fillZeros(target, span.uncompressedLength - at)
    const piece = span.uncompressedLength > longestKeptSpanBytes ? Math.floor(at / pieceBytes) : 0
    this.#readAhead(index)
    const known = this.#options.memory.peek(pieceKey(this.#options.digest, span, piece))
    const found = known ?? (await abortable(this.#piece(index, span, piece), options.signal))
    return found.bytes.copy(target, 0, at - piece * pieceBytes)
  }

  /**
   * A reader that came through the two spans before will want the next ones: they are inflated meanwhile. What lies two
   * spans behind it was handed on whole, and makes room. (The span just before may still be asked for, for the kernel
   * has more than one request under way.)
   */
  #readAhead(index: number): void {
    const recent = this.#recent
    if (!recent.has(index)) {
      recent.add(index)
      if (recent.size > rememberedSpans) recent.delete(recent.values().next().value ?? index)
    }
    if (!recent.has(index - 1) || !recent.has(index - 2)) return
    const { spans, memory, digest } = this.#options
    memory.remove(spanKey(digest, spans.get(index - 2).uncompressedOffset))
    const end = Math.min(index + 1 + spansAhead, spans.count)
    for (let ahead = index + 1; ahead < end; ahead++) this.#prepare(ahead)
  }

  #prepare(index: number): void {
    const span = this.#options.spans.get(index)
    if (span.zero || span.uncompressedLength > longestKeptSpanBytes) return
    if (this.#options.memory.has(pieceKey(this.#options.digest, span, 0))) return
    // A failure shows itself to whoever reads that span.
    this.#piece(index, span, 0).catch(() => undefined)
  }

  /** To be looked at before anything else is awaited. */
  async #piece(index: number, span: Span, piece: number): Promise<Lease> {
    const { digest, memory } = this.#options
    const key = pieceKey(digest, span, piece)
    return this.#inflating.run(key, async () => {
      const lease = await this.#inflateTrusted(index, span, piece)
      memory.put(key, lease)
      // All who wait for this flight go on before the event loop does: until then it is held for them.
      setImmediate(() => {
        lease.release()
      })
      return lease
    })
  }

  /** Once more with fetched bytes when those from the cache do not inflate: the cache may be wrong, never the reader's problem. */
  async #inflateTrusted(index: number, span: Span, piece: number): Promise<Lease> {
    try {
      return await this.#inflate(index, span, piece)
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error
      const { offset, length } = compressedRange(span)
      await this.#options.compressed.discard(offset, length)
      return this.#inflate(index, span, piece, true)
    }
  }

  /** `isCareful`: without files, from which the cache may evict a chunk before it is read, in a small one again and again. */
  async #inflate(index: number, span: Span, piece: number, isCareful = false): Promise<Lease> {
    const { windows, compressed, memory, zstd } = this.#options
    if (zstd !== undefined) {
      const lease = memory.pool.take(span.uncompressedLength)
      await zstd.fill(index, span, lease)
      this.inflated++
      return lease
    }
    const whole = span.uncompressedLength <= longestKeptSpanBytes
    const skipBytes = whole ? 0 : piece * pieceBytes
    const lengthBytes = whole
      ? span.uncompressedLength
      : Math.min(pieceBytes, span.uncompressedLength - skipBytes)
    const { offset, length } = compressedRange(span)
    const input = memory.pool.take(length)
    const lease = memory.pool.take(lengthBytes)
    // Given back only when all went well: after a failure another part of the read may still be on its way into them.
    // Its own checksum proves a whole span; of a piece there is none.
    const files =
      whole && !isCareful
        ? await compressed.fillUnchecked(offset, input.bytes)
        : await fillFrom(compressed, offset, input.bytes)
    const known = span.windowLength === 0 ? noWindow : windows.find(index)
    const window = Buffer.isBuffer(known) ? known : Buffer.allocUnsafeSlow(known.length)
    this.inflated++
    const request = {
      input: input.bytes,
      files: Buffer.isBuffer(known) ? files : [...files, { ...known, target: window }],
      bitOffset: span.compressedBitOffset % 8,
      atHeader: span.atHeader,
      window,
      windowLength: span.windowLength,
      skipBytes,
      lengthBytes,
      crc32: whole ? span.crc32 : undefined,
    }
    await inflateSpan(request, lease.bytes)
    input.release()
    return lease
  }
}

function compressedRange(span: Span): { offset: number; length: number } {
  const offset = Math.floor(span.compressedBitOffset / 8)
  return { offset, length: Math.ceil(span.compressedBitEnd / 8) - offset }
}

async function fillFrom(source: ByteSource, offset: number, target: Buffer): Promise<readonly FilePart[]> {
  const bytes = await source.read(offset, target.length)
  bytes.copy(target)
  return []
}

function fillZeros(target: Buffer, length: number): number {
  const filled = Math.min(length, target.length)
  target.fill(0, 0, filled)
  return filled
}

function pieceKey(digest: string, span: Span, piece: number): string {
  const key = spanKey(digest, span.uncompressedOffset)
  return piece === 0 ? key : `${key}:${String(piece)}`
}
