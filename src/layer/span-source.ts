/**
 * The tar of a layer as a ByteSource: offset -> span -> its compressed bytes through the chunk cache -> inflated from
 * its seek point in the addon -> memory cache. The span is the unit; one longer than `longestKeptSpanBytes` (an
 * encoder that made a single huge deflate block) is read in pieces, each inflated from the span's start.
 */
import type { CachedSource } from '../blob/cached-source.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import { zeros } from '../blob/zeros.js'
import { inflateSpan } from '../native.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { hasCode } from '../util/errors.js'
import { SingleFlight } from '../util/single-flight.js'
import type { SeekTable, Span } from './seek-table.js'
import { longestKeptSpanBytes, spanKey } from './span-builder.js'
import type { Windows } from './windows.js'
import type { ZeroMap } from './zero-map.js'

const pieceBytes = 8 << 20
/** Readers that go forward, to tell them from random ones: this many recent spans are remembered. */
const rememberedSpans = 32

export interface SpanSourceOptions {
  readonly digest: string
  readonly spans: SeekTable
  readonly windows: Windows
  readonly zeros: ZeroMap
  readonly compressed: CachedSource
  readonly memory: MemoryCache
}

export class SpanSource {
  readonly #options: SpanSourceOptions
  readonly #inflating = new SingleFlight<string, Buffer>()
  readonly #recent = new Set<number>()
  /** Spans inflated so far, for status and benchmarks. */
  inflated = 0

  constructor(options: SpanSourceOptions) {
    this.#options = options
  }

  /** The same as readSome where it needs neither fetching nor inflating; undefined else. */
  findSome(offset: number, length: number): Buffer | undefined {
    const { spans, zeros: map } = this.#options
    const index = spans.find(offset)
    // A span in memory first: it gives all at once where zeros and data alternate.
    const found = index === undefined ? undefined : this.#findInSpan(index, offset, length)
    if (found !== undefined) return found
    const zeroBytes = map.zerosAt(offset)
    return zeroBytes === 0 ? undefined : zeros(Math.min(length, zeroBytes))
  }

  #findInSpan(index: number, offset: number, length: number): Buffer | undefined {
    const { spans, memory, digest } = this.#options
    const span = spans.get(index)
    const at = offset - span.uncompressedOffset
    if (span.zero) return zeros(Math.min(length, span.uncompressedLength - at))
    if (span.uncompressedLength > longestKeptSpanBytes) return undefined
    const bytes = memory.find(spanKey(digest, span.uncompressedOffset))
    if (bytes === undefined) return undefined
    this.#readAhead(index)
    return bytes.subarray(at, Math.min(bytes.length, at + length))
  }

  /** A view of up to `length` bytes at `offset`, at least one; undefined beyond the spans that are known. */
  async readSome(offset: number, length: number, options: ReadOptions): Promise<Buffer | undefined> {
    const { spans } = this.#options
    const index = spans.find(offset)
    if (index === undefined) return undefined
    const span = spans.get(index)
    const at = offset - span.uncompressedOffset
    if (span.zero) return zeros(Math.min(length, span.uncompressedLength - at))
    const piece = span.uncompressedLength > longestKeptSpanBytes ? Math.floor(at / pieceBytes) : 0
    this.#readAhead(index)
    const bytes = await this.#piece(index, span, piece, options)
    const start = at - piece * pieceBytes
    return bytes.subarray(start, Math.min(bytes.length, start + length))
  }

  /** A reader that came from the span before will want the next one: inflate it meanwhile. */
  #readAhead(index: number): void {
    const { spans } = this.#options
    if (!this.#recent.has(index)) {
      this.#recent.add(index)
      if (this.#recent.size > rememberedSpans)
        this.#recent.delete(this.#recent.values().next().value ?? index)
    }
    if (!this.#recent.has(index - 1) || index + 1 >= spans.count) return
    const next = spans.get(index + 1)
    if (next.zero || next.uncompressedLength > longestKeptSpanBytes) return
    // A failure shows itself to whoever reads that span.
    this.#piece(index + 1, next, 0, {}).catch(() => undefined)
  }

  async #piece(index: number, span: Span, piece: number, options: ReadOptions): Promise<Buffer> {
    const { digest, memory } = this.#options
    const key =
      piece === 0
        ? spanKey(digest, span.uncompressedOffset)
        : `${spanKey(digest, span.uncompressedOffset)}:${String(piece)}`
    const cached = memory.find(key)
    if (cached !== undefined) return cached
    const flight = this.#inflating.run(key, async () => {
      const bytes = await this.#inflateTrusted(index, span, piece)
      memory.put(key, bytes)
      return bytes
    })
    return abortable(flight, options.signal)
  }

  /** Once more with fetched bytes when those from the cache do not inflate: the cache may be wrong, never the reader's problem. */
  async #inflateTrusted(index: number, span: Span, piece: number): Promise<Buffer> {
    try {
      return await this.#inflate(index, span, piece)
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error
      const { offset, length } = compressedRange(span)
      await this.#options.compressed.discard(offset, length)
      return this.#inflate(index, span, piece)
    }
  }

  async #inflate(index: number, span: Span, piece: number): Promise<Buffer> {
    const { windows, compressed } = this.#options
    const whole = span.uncompressedLength <= longestKeptSpanBytes
    const skipBytes = whole ? 0 : piece * pieceBytes
    const { offset, length } = compressedRange(span)
    const [input, window] = await Promise.all([
      compressed.read(offset, length),
      span.windowLength === 0 ? Buffer.alloc(0) : windows.load(index),
    ])
    this.inflated++
    return inflateSpan({
      input,
      bitOffset: span.compressedBitOffset % 8,
      atHeader: span.atHeader,
      window,
      windowLength: span.windowLength,
      skipBytes,
      lengthBytes: whole
        ? span.uncompressedLength
        : Math.min(pieceBytes, span.uncompressedLength - skipBytes),
      crc32: whole ? span.crc32 : undefined,
    })
  }
}

function compressedRange(span: Span): { offset: number; length: number } {
  const offset = Math.floor(span.compressedBitOffset / 8)
  return { offset, length: Math.ceil(span.compressedBitEnd / 8) - offset }
}
