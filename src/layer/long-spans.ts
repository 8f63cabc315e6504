/**
 * Spans too long to be inflated at once, for an encoder made a single huge deflate block: one decoder a layer goes
 * forward through them, piece by piece, and waits where it stopped for whoever reads on. Who waits holds nothing, and is
 * served in the order of the tar: any number of readers take one way through a span. Who has given up is forgotten.
 */
import type { Lease } from '../blob/buffer-pool.js'
import { chunkBytes } from '../blob/chunk-cache.js'
import { Reservation } from '../blob/reservation.js'
import { grainBytes } from '../blob/slab.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { Deferred } from '../util/deferred.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import { Semaphore } from '../util/semaphore.js'
import { spanKey } from './kept-spans.js'
import { readWindow } from './read-window.js'
import type { Span } from './seek-table.js'
import type { SpanSourceOptions } from './span-source.js'
import { SpanStream } from './span-stream.js'

const longestPieceBytes = 8 << 20
/** Passed on the way to what is wanted no further ahead, a piece is kept: the reads of one reader come in any order. */
const nearBytes = 4 * longestPieceBytes
/** Of a decoder: its tables and window, what it hands on from, and its input. */
const decoderBytes = (256 << 10) + chunkBytes
const idleMs = 10_000
const nothing = Buffer.alloc(0)

/**
 * For all layers: of the two threads that inflate (native/span_binding.cc) the other one is for spans of the usual length. A
 * turn ends with one piece, or with the input at hand.
 */
const turns = new Semaphore(1)

interface Wanted {
  readonly index: number
  /** Number `piece` of its pieces. */
  readonly piece: number
  readonly outcome: Deferred<Lease>
  readers: number
}

interface Decoder {
  readonly stream: SpanStream
  readonly index: number
  /** In the span, of what comes out next. */
  position: number
  /** In the blob, of what is read next. */
  offset: number
  /** Read, and not taken yet. */
  input: Buffer
}

export class LongSpans {
  readonly #options: SpanSourceOptions
  readonly #checkIndexFile: (index: number) => void
  readonly #pieceBytes: number
  readonly #wanted = new Map<string, Wanted>()
  readonly #held: Reservation
  #decoder: Decoder | undefined
  #isServing = false
  #isRetired = false
  #idle: NodeJS.Timeout | undefined

  /** `checkIndexFile`: throws GONE where the file that holds the span's window is no longer the one that it was. */
  constructor(options: SpanSourceOptions, checkIndexFile: (index: number) => void) {
    this.#options = options
    this.#checkIndexFile = checkIndexFile
    const longest = Math.min(longestPieceBytes, options.memory.longestBytes)
    this.#pieceBytes = Math.max(grainBytes, longest - (longest % grainBytes))
    this.#held = new Reservation(options.memory)
  }

  /** Fills the start of `target` from byte `at` of span `index`: resolves to how much, at least one byte. */
  async readSome(index: number, at: number, target: Buffer, options: ReadOptions): Promise<number> {
    const piece = Math.floor(at / this.#pieceBytes)
    const known = this.#options.memory.peek(this.#keyOf(index, piece))
    const found = known ?? (await this.#take(index, piece, options))
    return found.bytes.copy(target, 0, at - piece * this.#pieceBytes)
  }

  /** See TarSource. */
  retire(): void {
    this.#isRetired = true
  }

  /** To be looked at before anything else is awaited. */
  async #take(index: number, piece: number, options: ReadOptions): Promise<Lease> {
    const key = this.#keyOf(index, piece)
    const wanted = this.#wanted.get(key) ?? { index, piece, outcome: new Deferred<Lease>(), readers: 0 }
    this.#wanted.set(key, wanted)
    wanted.readers++
    void this.#serve()
    try {
      return await abortable(wanted.outcome.promise, options.signal)
    } finally {
      if (--wanted.readers === 0) this.#forget(wanted)
    }
  }

  #forget(wanted: Wanted): void {
    const key = this.#keyOf(wanted.index, wanted.piece)
    if (this.#wanted.get(key) === wanted) this.#wanted.delete(key)
  }

  /** Does not reject. */
  async #serve(): Promise<void> {
    if (this.#isServing) return
    this.#isServing = true
    clearTimeout(this.#idle)
    if (this.#decoder !== undefined) this.#held.goOn()
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      try {
        const lease = await this.#make(next)
        if (lease === undefined) continue
        next.outcome.resolve(lease)
        // All who wait for it go on before the event loop does: until then it is held for them.
        setImmediate(() => {
          lease.release()
        })
      } catch (error) {
        this.#close()
        next.outcome.reject(error)
      }
      this.#forget(next)
    }
    this.#isServing = false
    if (this.#decoder === undefined) return
    const giveUp = (): void => {
      this.#close()
    }
    this.#held.idle(giveUp)
    this.#idle = setTimeout(giveUp, idleMs).unref()
  }

  /** The first one ahead of the decoder, or of all. */
  #next(): Wanted | undefined {
    const decoder = this.#decoder
    const isAhead = ({ index, piece }: Wanted): boolean =>
      decoder !== undefined &&
      (index > decoder.index || (index === decoder.index && piece * this.#pieceBytes >= decoder.position))
    let best: Wanted | undefined
    for (const one of this.#wanted.values()) {
      const isBetter =
        best === undefined ||
        (isAhead(one) === isAhead(best)
          ? one.index < best.index || (one.index === best.index && one.piece < best.piece)
          : isAhead(one))
      if (isBetter) best = one
    }
    return best
  }

  /** Undefined when something else is to be made first, for nobody waits for it any more or somebody does on the way. */
  async #make(wanted: Wanted): Promise<Lease | undefined> {
    const known = this.#options.memory.peek(this.#keyOf(wanted.index, wanted.piece))
    if (known !== undefined) return known.hold()
    try {
      return await this.#goTo(wanted)
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'UNREADABLE')) throw error
      this.#checkIndexFile(wanted.index)
      // It is the window that is wrong or not to be had, not the blob.
      if (this.#decoder === undefined) throw error
      this.#close()
      // The cache may be wrong, never the reader's problem.
      const { compressedBitOffset, compressedBitEnd } = this.#options.spans.get(wanted.index)
      const offset = Math.floor(compressedBitOffset / 8)
      await this.#options.compressed.discard(offset, Math.ceil(compressedBitEnd / 8) - offset)
      return this.#goTo(wanted)
    }
  }

  async #goTo(wanted: Wanted): Promise<Lease | undefined> {
    const start = wanted.piece * this.#pieceBytes
    const decoder = await this.#decoderFor(wanted.index, start)
    const isNear = start - decoder.position <= nearBytes && decoder.position % this.#pieceBytes === 0
    // Its window may have been waited for.
    let isFirst = this.#next() === wanted
    while (isFirst && decoder.position < start) {
      if (isNear) (await this.#decodePiece(decoder)).release()
      else await this.#decode(decoder, Math.min(start - decoder.position, longestPieceBytes), nothing)
      isFirst = this.#next() === wanted
    }
    return isFirst ? this.#decodePiece(decoder) : undefined
  }

  async #decoderFor(index: number, start: number): Promise<Decoder> {
    const waiting = this.#decoder
    if (waiting?.index === index && waiting.position <= start) return waiting
    this.#close()
    await this.#held.enter(decoderBytes + this.#pieceBytes)
    const { spans, windows, inflations, zlib } = this.#options
    const span = spans.get(index)
    const known = span.windowLength === 0 ? nothing : windows.find(index)
    // Checked at once: what is made with it is handed on long before the span's end, which would tell.
    const window = Buffer.isBuffer(known) ? known : await readWindow(known, span)
    const stream = new SpanStream()
    const offset = Math.floor(span.compressedBitOffset / 8)
    const decoder = { stream, index, position: 0, offset, input: nothing }
    this.#decoder = decoder
    inflations.add(index)
    await stream.begin({
      bitOffset: span.compressedBitOffset % 8,
      atHeader: span.atHeader,
      window,
      windowLength: span.windowLength,
      zlib,
    })
    return decoder
  }

  async #decodePiece(decoder: Decoder): Promise<Lease> {
    const { memory, spans } = this.#options
    const { index, position } = decoder
    const key = this.#keyOf(index, position / this.#pieceBytes)
    const length = Math.min(this.#pieceBytes, spans.get(index).uncompressedLength - position)
    const lease = await memory.pool.filled(length, async ({ bytes }) => this.#decode(decoder, 0, bytes))
    if (!this.#isRetired) memory.put(key, lease)
    return lease
  }

  /** One of `skipBytes` and `target` is empty. */
  async #decode(decoder: Decoder, skipBytes: number, target: Buffer): Promise<void> {
    const { compressed, spans } = this.#options
    const end = decoder.position + skipBytes + target.length
    for (let start = decoder.position; decoder.position < end;) {
      if (decoder.input.length === 0) {
        // The rest of a chunk: then no chunk is looked for twice.
        decoder.input = await compressed.read(decoder.offset, chunkBytes - (decoder.offset % chunkBytes))
        decoder.offset += decoder.input.length
      }
      const done = decoder.position - start
      const { input, stream } = decoder
      const { taken, skipped, made } = await turns.run(async () =>
        stream.decode(input, Math.max(0, skipBytes - done), target.subarray(skipBytes === 0 ? done : 0)),
      )
      decoder.input = input.subarray(taken)
      decoder.position += skipped + made
      if (taken + skipped + made === 0) throw corrupt('a span is cut off', spans.get(decoder.index))
    }
    const span = spans.get(decoder.index)
    if (decoder.position === span.uncompressedLength && decoder.stream.crc32 !== span.crc32)
      throw corrupt('the CRC-32 of a span is wrong', span)
  }

  #close(): void {
    clearTimeout(this.#idle)
    this.#decoder?.stream.close()
    this.#decoder = undefined
    this.#held.set(0)
  }

  #keyOf(index: number, piece: number): string {
    const { digest, spans } = this.#options
    const key = spanKey(digest, spans.get(index).uncompressedOffset)
    return piece === 0 ? key : `${key}:${String(piece)}`
  }
}

function corrupt(reason: string, { uncompressedOffset }: Span): RegistryFsError {
  return new RegistryFsError('CORRUPT', `gzip: ${reason}`, { offset: uncompressedOffset })
}
