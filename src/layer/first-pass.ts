/**
 * The one sequential read of a layer that builds its index. Compressed bytes flow from OrderedDownload into the
 * addon's decode and hash threads by reference; back come, in order, blocks of the tar (in lent slots, read where
 * they lie), seek points, chunk seals and checkpoints. The tar scanner looks at headers only.
 *
 * The pass proves itself: gzip's CRC-32 and ISIZE and the hashes in the addon, here the blob's digest and the diff
 * ID. Before that is done its bytes are served on the strength of TLS and CRC alone, as in every streaming pull;
 * afterwards a mismatch takes everything back. At each checkpoint the journal is extended, and a later pass continues
 * at the last one.
 */
import type { ArrivingChunks } from '../blob/cached-source.js'
import { Reservation } from '../blob/reservation.js'
import { zeros } from '../blob/zeros.js'
import {
  allocateSlots,
  openPass,
  type BlobEvent,
  type BlockEvent,
  type CheckpointEvent,
  type EndEvent,
  type InflatePass,
  type PassEvent,
  type SpanEvent,
} from '../native.js'
import { blockBytes, isAllZeros } from '../tar/block.js'
import type { TarMember } from '../tar/member.js'
import { TarScanner, type ScannerState } from '../tar/tar-scanner.js'
import { Deferred } from '../util/deferred.js'
import { digestAlgorithm, type DiffId } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { sniffBytes, sniffCodec, type Codec } from './codec.js'
import type { FirstPassOptions } from './first-pass-options.js'
import {
  JournalWriter,
  loadJournal,
  removeJournal,
  type Checkpoint,
  type LoadedJournal,
  type Seal,
} from './journal.js'
import { OrderedDownload } from './ordered-download.js'
import { PassProgress } from './pass-progress.js'
import { lagBytes, passSizes, slotBytes, slotCount } from './pass-sizes.js'
import { proveBlob, proveTar } from './proof.js'
import { SpanBuilder } from './span-builder.js'
import { isNoTar, wholeMember } from './whole-member.js'

export type { FirstPassOptions } from './first-pass-options.js'

export interface FirstPassResult {
  readonly diffId: DiffId
  readonly tarBytes: number
}

export class FirstPass {
  readonly #options: FirstPassOptions
  readonly progress: PassProgress
  readonly recent: SpanBuilder
  readonly #controller = new AbortController()
  #download: OrderedDownload | undefined
  #pass: InflatePass | undefined
  #scanner: TarScanner | undefined
  #journal: JournalWriter | undefined
  #slots: readonly Buffer[] = []
  readonly #scannerStates = new Map<number, ScannerState>()
  /** Whether the present span can be decoded by itself. */
  #atHeader = true
  #beginsWithZeros = false
  #newSpans: SpanEvent[] = []
  #newSeals: Seal[] = []
  /** Members before this one are in the journal. */
  #journaledMembers = 0
  /** Runs of zeros are in the journal up to here. */
  #journaledZeros = 0
  #isTarEnded = false
  #failure: unknown
  readonly #decoderMemory: Reservation
  readonly #ended = new Deferred<FirstPassResult>()

  private constructor(options: FirstPassOptions, progress: PassProgress) {
    this.#options = options
    this.progress = progress
    this.#decoderMemory = new Reservation(options.cache.memory)
    this.recent = new SpanBuilder(options.layer.digest, options.cache.memory)
  }

  /** Restores what the journal has; no request is made before `run`. */
  static async prepare(options: FirstPassOptions): Promise<FirstPass> {
    const identity = { digest: options.layer.digest, blobBytes: options.layer.size }
    const journal =
      options.journalPath === undefined ? undefined : await loadJournal(options.journalPath, identity)
    if (journal !== undefined) {
      try {
        const pass = new FirstPass(options, new PassProgress(options.layer.size))
        pass.#open(journal)
        options.log.info(
          { layer: options.layer.digest, offset: pass.progress.frontierCompressed },
          'first pass resumes',
        )
        return pass
      } catch (error) {
        options.log.warn(
          { layer: options.layer.digest, err: error },
          'a journal does not hold together, starting anew',
        )
        if (options.journalPath !== undefined) await removeJournal(options.journalPath)
      }
    }
    const pass = new FirstPass(options, new PassProgress(options.layer.size))
    pass.#open(undefined)
    return pass
  }

  /**
   * Resolves when the whole layer was read and proven; undefined when it is not compressed. Whatever happens, nothing
   * is left running.
   */
  async run(): Promise<FirstPassResult | undefined> {
    const { signal, layer } = this.#options
    const stop = (): void => {
      this.#controller.abort(signal.reason)
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    try {
      return (await this.#feed()) ? await this.#ended.promise : undefined
    } catch (error) {
      this.progress.hide()
      const reason = this.#failure ?? error
      throw reason instanceof RegistryFsError ? reason.within({ layer: layer.digest }) : reason
    } finally {
      signal.removeEventListener('abort', stop)
      this.#download?.close()
      this.#pass?.close()
      this.#decoderMemory.set(0)
      this.recent.close()
      await this.#journal?.close()
    }
  }

  /** What its download has in hand. */
  get arriving(): ArrivingChunks | undefined {
    return this.#download
  }

  #open(journal: LoadedJournal | undefined): void {
    const { layer, journalPath, log } = this.#options
    const checkpoint = journal?.entries.at(-1)?.checkpoint
    if (journal !== undefined) {
      this.progress.restore(journal.entries)
      this.recent.resume(this.progress.frontierUncompressed, this.progress.spans.count)
      this.#journaledMembers = this.progress.members.length
      this.#journaledZeros = this.progress.zeros.end
    }
    this.#scanner = new TarScanner({
      onMember: (member: TarMember) => {
        this.progress.addMember(member)
      },
      ...(checkpoint === undefined ? {} : { resume: checkpoint.scanner }),
    })
    if (checkpoint !== undefined) this.#openNative(checkpoint.codec, checkpoint)
    if (journalPath !== undefined) {
      this.#journal = new JournalWriter(
        journalPath,
        { digest: layer.digest, blobBytes: layer.size },
        journal?.keepBytes ?? 0,
        log,
      )
    }
  }

  #openNative(codec: Codec, checkpoint?: Checkpoint): InflatePass {
    this.progress.codec = codec
    this.#slots = allocateSlots(slotCount, slotBytes)
    this.#pass = openPass({
      codec,
      zlib: this.#options.zlib,
      sha512: digestAlgorithm(this.#options.layer.digest) === 'sha512',
      ...passSizes[codec],
      lagBytes,
      slots: this.#slots,
      resume: checkpoint,
      onEvents: (events) => {
        this.#take(events)
      },
    })
    return this.#pass
  }

  /** False when the layer is not for this pass. */
  async #feed(): Promise<boolean> {
    const { layer, blob, cache } = this.#options
    const download = new OrderedDownload({
      digest: layer.digest,
      blob,
      cache,
      offset: this.progress.frontierCompressed,
      signal: this.#controller.signal,
    })
    this.#download = download
    const waiting: Buffer[] = []
    for (let part = await download.next(); part !== undefined; part = await download.next()) {
      if (this.#pass !== undefined) {
        this.#pass.push(part.bytes)
        continue
      }
      waiting.push(part.bytes)
      const start = waiting.length === 1 ? part.bytes : Buffer.concat(waiting)
      if (start.length < Math.min(sniffBytes, layer.size)) continue
      const codec = sniffCodec(start, layer.mediaType)
      if (codec === 'none' && !this.#options.takesPlain) return false
      const pass = this.#openNative(codec)
      for (const bytes of waiting) pass.push(bytes)
    }
    this.#pass?.finish()
    return true
  }

  #take(events: readonly PassEvent[]): void {
    // Nothing is shown of what turned out to be wrong.
    if (this.#failure !== undefined) return
    this.#decoderMemory.set((this.#pass?.decoderBytes() ?? 0) + this.progress.windows.bytes)
    try {
      for (const event of events) this.#takeOne(event)
    } catch (error) {
      this.#fail(error)
    }
    this.progress.changed.notify()
  }

  #takeOne(event: PassEvent): void {
    const { progress } = this
    switch (event.kind) {
      case 'zeros':
        progress.addZeros(event.runs)
        break
      case 'block': {
        const bytes = (this.#slots[event.slot] ?? zeros(event.length)).subarray(0, event.length)
        this.#scan(bytes, event)
        if (this.#options.isBeingRead() || !this.#atHeader) this.recent.add(bytes, event, !this.#atHeader)
        progress.advance(event.uncompressedOffset + event.length)
        if (!event.zero) this.#release(event.slot)
        break
      }
      case 'cut':
        this.#cut(event.uncompressedOffset, event.atHeader)
        if (this.#journal !== undefined && this.#scanner !== undefined) {
          this.#scannerStates.set(event.uncompressedOffset, this.#scanner.state())
        }
        break
      case 'span':
        if (progress.codec !== 'none') this.#options.inflations.add(progress.spans.count)
        progress.addSpan(event)
        this.#newSpans.push(event)
        break
      case 'chunk':
        progress.addSeal(event)
        this.#newSeals.push(event)
        break
      case 'consumed':
        progress.frontierCompressed = event.compressedBytes
        this.#download?.release(event.compressedBytes)
        break
      case 'checkpoint':
        this.#checkpoint(event)
        break
      case 'blob':
        this.#endBlob(event)
        break
      case 'end':
        this.#end(event)
        break
      case 'failure':
        throw new RegistryFsError(
          ({ corrupt: 'CORRUPT', limit: 'UNSUPPORTED', internal: 'HOST' } as const)[event.reason],
          `${progress.codec}: ${event.message}`,
          {
            offset: event.compressedOffset,
          },
        )
    }
  }

  /** What turns out to be no tar is one file: wholeMember, once its size is known. */
  #scan(bytes: Buffer, event: BlockEvent): void {
    const { members } = this.progress
    if (event.uncompressedOffset === 0) this.#beginsWithZeros = isAllZeros(bytes.subarray(0, blockBytes))
    try {
      this.#scanner?.push(bytes, event.uncompressedOffset)
      if (members.length > 0 || !this.#beginsWithZeros || event.zero) return
      // Disks and ISO images may begin as an empty tar does.
      if (this.#scanner?.state().ended === true) this.#scanner = undefined
    } catch (error) {
      if (members.length > 0 || !(this.#beginsWithZeros || isNoTar(error))) throw error
      this.#scanner = undefined
    }
  }

  /** A span has ended; what can be decoded from the start of its frame only is kept decoded. */
  #cut(offset: number, nextIsAtHeader: boolean): void {
    const isKept = !this.#atHeader
    this.recent.cut(offset, (index, lease) => {
      if (isKept) this.#options.decoded.keep(index, lease)
    })
    this.#atHeader = nextIsAtHeader || this.progress.codec !== 'zstd'
  }

  /** Not before there is room for what was decoded: the disk may be slower than the decoder. */
  #release(slot: number): void {
    const { decoded } = this.#options
    if (decoded.isBusy)
      void decoded.wait().then(() => {
        this.#release(slot)
      })
    else this.#pass?.releaseSlot(slot)
  }

  #checkpoint(event: CheckpointEvent): void {
    const scanner = this.#scannerStates.get(event.uncompressedOffset)
    if (scanner === undefined) return
    for (const offset of this.#scannerStates.keys()) {
      if (offset <= event.uncompressedOffset) this.#scannerStates.delete(offset)
    }
    // What is beyond the checkpoint is found again when the pass resumes.
    const isBefore = (span: SpanEvent): boolean => span.uncompressedOffset < event.uncompressedOffset
    const { members } = this.progress
    let end = this.#journaledMembers
    while (end < members.length && members.headerOffsetOf(end) < scanner.headerOffset) end++
    // One that goes on behind the checkpoint is found again too, from its beginning.
    const zeros = this.progress.zeros.within(this.#journaledZeros, event.uncompressedOffset)
    const lastZeros = zeros.at(-1)
    if (lastZeros !== undefined) this.#journaledZeros = lastZeros.offset + lastZeros.length
    this.#journal?.append({
      spans: this.#newSpans.filter(isBefore),
      zeros,
      members: members.encoded(this.#journaledMembers, end),
      seals: this.#newSeals,
      checkpoint: { ...event, codec: this.progress.codec, scanner },
    })
    this.#journaledMembers = end
    this.#newSpans = this.#newSpans.filter((span) => !isBefore(span))
    this.#newSeals = []
  }

  /** The bytes are those that the manifest means: readers need not wait for the tar's hash, which the config alone is held against. */
  #endBlob(event: BlobEvent): void {
    proveBlob(event, this.#options.layer.digest)
    this.#endTar(event.uncompressedBytes)
    this.progress.showAll()
  }

  #end(event: EndEvent): void {
    this.#endTar(event.uncompressedBytes)
    this.#prove(event).then(this.#ended.resolve, (error: unknown) => {
      this.#fail(error)
    })
  }

  #endTar(tarBytes: number): void {
    if (this.#isTarEnded) return
    this.#isTarEnded = true
    const { progress } = this
    const { layer } = this.#options
    this.#cut(tarBytes, true)
    try {
      this.#scanner?.end(tarBytes)
    } catch (error) {
      if (progress.members.length > 0 || !isNoTar(error)) throw error
      this.#scanner = undefined
    }
    if (this.#scanner === undefined)
      progress.addMember(wholeMember(layer, tarBytes, progress.codec !== 'none'))
    progress.advance(tarBytes)
    progress.zeros.complete()
  }

  async #prove(event: EndEvent): Promise<FirstPassResult> {
    const { layer, diffId } = this.#options
    // The blob first: the config may be as wrong as the layer.
    proveBlob(event, layer.digest)
    proveTar(event, await diffId())
    const tarHex = event.tarSha256.toString('hex')
    return { diffId: `sha256:${tarHex}` as DiffId, tarBytes: event.uncompressedBytes }
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    this.progress.hide()
    this.#ended.reject(error)
    this.#controller.abort(error)
  }
}
