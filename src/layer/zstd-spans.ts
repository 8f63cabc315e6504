/**
 * Spans of a zstd layer. One that begins with a frame is decoded from there. The others lie within a frame longer than
 * a span may be, and can be decoded from that frame's start only: they are looked for on disk (decoded-spans.ts), else
 * one decoder goes through the frame, keeps every span that it passes, and waits where it stopped for whoever
 * wants the next one.
 */
import type { Lease } from '../blob/buffer-pool.js'
import type { CachedSource } from '../blob/cached-source.js'
import type { MemoryCache } from '../blob/memory-cache.js'
import { Reservation } from '../blob/reservation.js'
import { crc32 } from '../native.js'
import { RegistryFsError } from '../util/errors.js'
import { frameHeaderBytes, frameWindowBytes } from '../zstd/frame-window.js'
import { ZstdStream, decodeZstdSpan } from '../zstd/zstd.js'
import type { DecodedSpans } from './decoded-spans.js'
import { keepSpan } from './kept-spans.js'
import type { SeekTable, Span } from './seek-table.js'

/** A waiting decoder holds its window, up to 128 MiB of the budget, unless others need that. */
const idleMs = 10_000
const inputBytes = 256 << 10
/** What libzstd allows itself. */
const mostWindowBytes = 128 << 20
/** Of a decoder, at most: its tables, and blocks on their way in and out. */
const besideWindowBytes = 512 << 10

interface Decoder {
  readonly stream: ZstdStream
  /** The span with whose frame it began, and the one that it makes next. */
  readonly first: number
  next: number
  /** In the blob, of the first byte that it was not given. */
  offset: number
}

export class ZstdSpans {
  readonly #digest: string
  readonly #spans: SeekTable
  readonly #compressed: CachedSource
  readonly #memory: MemoryCache
  readonly #decoded: DecodedSpans
  #decoder: Decoder | undefined
  #isRetired = false
  readonly #window: Reservation
  #turn: Promise<void> = Promise.resolve()
  #idle: NodeJS.Timeout | undefined
  /** Frames that were decoded from their start for spans within them, for tests. */
  restarts = 0

  constructor(
    digest: string,
    spans: SeekTable,
    compressed: CachedSource,
    memory: MemoryCache,
    decoded: DecodedSpans,
  ) {
    this.#digest = digest
    this.#spans = spans
    this.#compressed = compressed
    this.#memory = memory
    this.#window = new Reservation(memory)
    this.#decoded = decoded
  }

  /** Span `index`, which the caller holds. CORRUPT when the blob does not have it. `isCareful`: as SpanSource is without files. */
  async take(index: number, span: Span, isCareful: boolean): Promise<Lease> {
    const { pool } = this.#memory
    if (span.atHeader)
      return pool.filled(span.uncompressedLength, async (lease) =>
        this.#fillFromFrame(span, lease, isCareful),
      )
    const kept = await this.#takeKept(index, span)
    if (kept !== undefined) return kept
    const before = this.#turn
    const work = before.then(async () => this.#takeWithin(index, span))
    this.#turn = work.then(
      () => undefined,
      () => undefined,
    )
    return work
  }

  async #takeKept(index: number, span: Span): Promise<Lease | undefined> {
    const lease = this.#memory.pool.take(span.uncompressedLength)
    if (await this.#decoded.find(index, lease.bytes, span.crc32)) return lease
    lease.release()
    return undefined
  }

  async #fillFromFrame(span: Span, lease: Lease, isCareful: boolean): Promise<void> {
    const offset = span.compressedBitOffset / 8
    await this.#memory.pool.lend(span.compressedBitEnd / 8 - offset, async (input) => {
      const files = isCareful
        ? await this.#compressed.fillChecked(offset, input)
        : await this.#compressed.fillUnchecked(offset, input)
      await decodeZstdSpan({ input, files, skipBytes: 0, crc32: span.crc32 }, lease.bytes)
    })
  }

  async #takeWithin(index: number, span: Span): Promise<Lease> {
    // Whoever had the turn before may have passed it.
    const kept = await this.#takeKept(index, span)
    if (kept !== undefined) return kept
    clearTimeout(this.#idle)
    const first = this.#firstOf(index)
    let lease: Lease
    try {
      const decoder = await this.#decoderFor(first, index)
      // Not before: those who wait for room hold none.
      lease = await this.#memory.pool.filled(span.uncompressedLength, async (target) =>
        this.#decodeUpTo(index, decoder, target),
      )
    } catch (error) {
      this.#close()
      throw error
    }
    const giveUp = (): void => {
      this.#close()
    }
    this.#window.idle(giveUp)
    this.#idle = setTimeout(giveUp, idleMs).unref()
    return lease
  }

  /** The one that waits, or a new one once there is room for its window. */
  async #decoderFor(first: number, index: number): Promise<Decoder> {
    const waiting = this.#decoder
    if (waiting?.first === first && waiting.next <= index) {
      this.#window.goOn()
      return waiting
    }
    this.#close()
    const offset = Math.floor(this.#spans.get(first).compressedBitOffset / 8)
    const header = await this.#compressed.read(offset, frameHeaderBytes)
    const window = Math.min(frameWindowBytes(header) ?? mostWindowBytes, mostWindowBytes)
    await this.#window.enter(window + besideWindowBytes)
    this.restarts++
    this.#decoder = { stream: new ZstdStream(), first, next: first, offset }
    return this.#decoder
  }

  /** See TarSource. */
  retire(): void {
    this.#isRetired = true
  }

  #close(): void {
    clearTimeout(this.#idle)
    this.#decoder?.stream.close()
    this.#decoder = undefined
    this.#window.set(0)
  }

  async #decodeUpTo(index: number, decoder: Decoder, lease: Lease): Promise<void> {
    while (decoder.next <= index) {
      const passed = this.#spans.get(decoder.next)
      if (decoder.next === index) await this.#decodeNext(decoder, passed, lease)
      else await this.#pass(decoder, passed)
    }
  }

  /** Nobody asked for it, but somebody may. */
  async #pass(decoder: Decoder, span: Span): Promise<void> {
    const { pool } = this.#memory
    const lease = await pool.filled(span.uncompressedLength, async (target) =>
      this.#decodeNext(decoder, span, target),
    )
    if (!this.#isRetired) keepSpan(this.#memory, this.#digest, span.uncompressedOffset, lease)
    lease.release()
  }

  async #decodeNext(decoder: Decoder, span: Span, target: Lease): Promise<void> {
    await this.#decode(decoder, target.bytes)
    if (crc32(target.bytes) !== span.crc32)
      throw new RegistryFsError('CORRUPT', 'zstd: the CRC-32 of a span is wrong', { offset: decoder.offset })
    if (!span.atHeader && !span.zero) {
      while (this.#decoded.isBusy) await this.#decoded.wait()
      this.#decoded.keep(decoder.next, target)
    }
    decoder.next++
  }

  async #decode(decoder: Decoder, target: Buffer): Promise<void> {
    for (let filled = 0; filled < target.length;) {
      const input = await this.#compressed.read(decoder.offset, inputBytes)
      const { taken, made } = await decoder.stream.decode(input, target.subarray(filled))
      this.#window.set(decoder.stream.heldBytes)
      decoder.offset += taken
      filled += made
      if (taken === 0 && made === 0)
        throw new RegistryFsError('CORRUPT', 'zstd: a frame is cut off', { offset: decoder.offset })
    }
  }

  #firstOf(index: number): number {
    let first = index
    while (first > 0 && !this.#spans.get(first).atHeader) first--
    return first
  }
}
