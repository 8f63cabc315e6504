/**
 * The one sequential read of a layer that builds its index. Compressed bytes flow from OrderedDownload into the
 * addon's inflate and hash threads by reference; back come, in order, blocks of the tar (in lent slots, read where
 * they lie), seek points, chunk seals and checkpoints. The tar scanner looks at headers only.
 *
 * The pass proves itself: gzip's CRC-32 and ISIZE and the hashes in the addon, here the blob's digest and the diff
 * ID. Before that is done its bytes are served on the strength of TLS and CRC alone, as in every streaming pull;
 * afterwards a mismatch takes everything back. At each checkpoint the journal is extended, and a later pass continues
 * at the last one.
 */
import { chunkBytes, type ChunkCache } from '../blob/chunk-cache.js'
import type { BlobSource } from '../blob/source.js'
import {
  allocateSlots,
  openPass,
  type CheckpointEvent,
  type InflatePass,
  type PassEvent,
  type SpanEvent,
} from '../native.js'
import type { Descriptor } from '../registry/descriptor.js'
import type { TarMember } from '../tar/member.js'
import { TarScanner, type ScannerState } from '../tar/tar-scanner.js'
import { Deferred } from '../util/deferred.js'
import { digestAlgorithm, digestHex, type DiffId } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { requireGzip, sniffBytes } from './codec.js'
import { JournalWriter, loadJournal, removeJournal, type LoadedJournal, type Seal } from './journal.js'
import { OrderedDownload } from './ordered-download.js'
import { PassProgress } from './pass-progress.js'
import { SpanBuilder } from './span-builder.js'

/** Why these: docs/ARCHITECTURE.md, Decisions. */
export const spacingBytes = 1 << 20
const minimumCompressedBytes = 128 << 10
const maximumSpanBytes = 4 << 20
const checkpointBytes = 32 << 20
/** A span of the usual spacing fits in one slot. */
const slotBytes = (1 << 20) + (256 << 10)
const slotCount = 8
export const slotsBytes = slotCount * slotBytes

export interface FirstPassOptions {
  readonly layer: Descriptor
  readonly blob: BlobSource
  readonly cache: ChunkCache
  /** Undefined: nothing is journaled. */
  readonly journalPath: string | undefined
  /** From the image's config; undefined where it does not say. */
  readonly diffId: () => Promise<DiffId | undefined>
  /** Whether somebody reads the layer just now. */
  readonly isBeingRead: () => boolean
  /** Meanwhile: what is not zero, as it comes by. */
  readonly onPassing: (offset: number, bytes: Buffer) => void
  readonly signal: AbortSignal
  readonly log: Logger
}

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
  #newSpans: SpanEvent[] = []
  #newSeals: Seal[] = []
  /** Members before this one are in the journal. */
  #journaledMembers = 0
  /** Runs of zeros are in the journal up to here. */
  #journaledZeros = 0
  #failure: unknown
  readonly #ended = new Deferred<FirstPassResult>()

  private constructor(options: FirstPassOptions, progress: PassProgress) {
    this.#options = options
    this.progress = progress
    this.recent = new SpanBuilder(options.layer.digest, options.cache.memory)
  }

  /** Restores what the journal has; no request is made before `run`. */
  static async prepare(options: FirstPassOptions): Promise<FirstPass> {
    if (digestAlgorithm(options.layer.digest) !== 'sha256') {
      throw new RegistryFsError('UNSUPPORTED', 'only layers with a sha256 digest can be read', {
        layer: options.layer.digest,
      })
    }
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

  /** Resolves when the whole layer was read and proven. Whatever happens, nothing is left running. */
  async run(): Promise<FirstPassResult> {
    const { signal, layer } = this.#options
    const stop = (): void => {
      this.#controller.abort(signal.reason)
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    try {
      await this.#feed()
      return await this.#ended.promise
    } catch (error) {
      const reason = this.#failure ?? error
      throw reason instanceof RegistryFsError ? reason.within({ layer: layer.digest }) : reason
    } finally {
      signal.removeEventListener('abort', stop)
      this.#download?.close()
      this.#pass?.close()
      await this.#journal?.close()
    }
  }

  #open(journal: LoadedJournal | undefined): void {
    const { layer, journalPath, log } = this.#options
    const checkpoint = journal?.entries.at(-1)?.checkpoint
    if (journal !== undefined) {
      this.progress.restore(journal.entries)
      this.recent.cut(this.progress.frontierUncompressed)
      this.#journaledMembers = this.progress.members.length
      this.#journaledZeros = this.progress.zeros.end
    }
    this.#scanner = new TarScanner({
      onMember: (member: TarMember) => {
        this.progress.addMember(member)
      },
      ...(checkpoint === undefined ? {} : { resume: checkpoint.scanner }),
    })
    this.#slots = allocateSlots(slotCount, slotBytes)
    this.#pass = openPass({
      spacingBytes,
      minimumCompressedBytes,
      maximumSpanBytes,
      checkpointBytes,
      chunkBytes,
      slots: this.#slots,
      resume: checkpoint,
      onEvents: (events) => {
        this.#take(events)
      },
    })
    if (journalPath !== undefined) {
      this.#journal = new JournalWriter(
        journalPath,
        { digest: layer.digest, blobBytes: layer.size },
        journal?.keepBytes ?? 0,
        log,
      )
    }
  }

  async #feed(): Promise<void> {
    const { layer, blob, cache } = this.#options
    const download = new OrderedDownload({
      digest: layer.digest,
      blob,
      cache,
      offset: this.progress.frontierCompressed,
      signal: this.#controller.signal,
    })
    this.#download = download
    let sniffed = this.progress.frontierCompressed > 0
    for (let part = await download.next(); part !== undefined; part = await download.next()) {
      if (!sniffed && part.bytes.length >= Math.min(sniffBytes, layer.size)) {
        requireGzip(part.bytes, layer.mediaType)
        sniffed = true
      }
      this.#pass?.push(part.bytes)
    }
    this.#pass?.finish()
  }

  #take(events: readonly PassEvent[]): void {
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
        const bytes = (this.#slots[event.slot] as Buffer).subarray(0, event.length)
        this.#scanner?.push(bytes, event.uncompressedOffset)
        if (this.#options.isBeingRead()) {
          this.recent.add(bytes, event)
          if (!event.zero) this.#options.onPassing(event.uncompressedOffset, bytes)
        }
        progress.advance(event.uncompressedOffset + event.length)
        this.#pass?.releaseSlot(event.slot)
        break
      }
      case 'cut':
        this.recent.cut(event.uncompressedOffset)
        if (this.#journal !== undefined && this.#scanner !== undefined) {
          this.#scannerStates.set(event.uncompressedOffset, this.#scanner.state())
        }
        break
      case 'span':
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
      case 'end':
        this.#end(event.uncompressedBytes, event.blobSha256, event.tarSha256)
        break
      case 'failure':
        throw new RegistryFsError(event.reason === 'corrupt' ? 'CORRUPT' : 'HOST', `gzip: ${event.message}`, {
          offset: event.compressedOffset,
        })
    }
  }

  #checkpoint(event: CheckpointEvent): void {
    const scanner = this.#scannerStates.get(event.uncompressedOffset)
    if (scanner === undefined) return
    for (const offset of this.#scannerStates.keys()) {
      if (offset <= event.uncompressedOffset) this.#scannerStates.delete(offset)
    }
    // Members beyond the checkpoint are found again when the pass resumes.
    const { members } = this.progress
    let end = this.#journaledMembers
    while (end < members.length && members.get(end).headerOffset < scanner.headerOffset) end++
    // One that goes on behind the checkpoint is found again too, from its beginning.
    const zeros = this.progress.zeros.within(this.#journaledZeros, event.uncompressedOffset)
    const lastZeros = zeros.at(-1)
    if (lastZeros !== undefined) this.#journaledZeros = lastZeros.offset + lastZeros.length
    this.#journal?.append({
      spans: this.#newSpans,
      zeros,
      members: members.slice(this.#journaledMembers, end),
      seals: this.#newSeals,
      checkpoint: { ...event, scanner },
    })
    this.#journaledMembers = end
    this.#newSpans = []
    this.#newSeals = []
  }

  #end(tarBytes: number, blobSha256: Buffer, tarSha256: Buffer): void {
    this.#scanner?.end(tarBytes)
    this.progress.advance(tarBytes)
    this.progress.zeros.complete()
    this.#prove(tarBytes, blobSha256.toString('hex'), tarSha256.toString('hex')).then(
      this.#ended.resolve,
      this.#ended.reject,
    )
  }

  async #prove(tarBytes: number, blobHex: string, tarHex: string): Promise<FirstPassResult> {
    const { layer, diffId } = this.#options
    if (digestAlgorithm(layer.digest) === 'sha256' && blobHex !== digestHex(layer.digest)) {
      throw new RegistryFsError('DIGEST_MISMATCH', `the layer's bytes have digest sha256:${blobHex}`)
    }
    const expected = await diffId()
    if (expected !== undefined && digestAlgorithm(expected) === 'sha256' && tarHex !== digestHex(expected)) {
      throw new RegistryFsError(
        'DIGEST_MISMATCH',
        `the layer's tar has diff ID sha256:${tarHex}, the config says ${expected}`,
      )
    }
    return { diffId: `sha256:${tarHex}` as DiffId, tarBytes }
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    this.#ended.reject(error)
    this.#controller.abort(error)
  }
}
