/**
 * One layer of however many images: unread, then read by a first pass (or loaded from its index file), then ready.
 * Whoever needs it first starts it; everyone shares it. While the pass runs a name that was seen is answered and a
 * read below the frontier is served; what is not there yet waits for as long as the pass makes progress, and fails
 * with the pass. A pass that failed is tried again by the next one who asks, after a pause.
 */
import { unlink } from 'node:fs/promises'
import { CachedSource } from '../blob/cached-source.js'
import type { ChunkCache } from '../blob/chunk-cache.js'
import type { BlobSource, ByteSource, SourceReadOptions, Whence } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import { abortable, throwIfAborted, withDeadline, type ReadOptions } from '../util/abort.js'
import { digestAlgorithm, digestOf, type DiffId } from '../util/digest.js'
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { Semaphore } from '../util/semaphore.js'
import { FirstPass, type FirstPassOptions } from './first-pass.js'
import { loadIndex, saveIndex } from './index-file.js'
import { contentsOfIndex, contentsOfPass, emptyContents, type LayerContents } from './layer-contents.js'
import { removeJournal } from './journal.js'
import type { LayerState, LayerStatus } from './layer-status.js'
import { LayerTree } from './layer-tree.js'
import { SpanSource } from './span-source.js'
import type { ZeroMap } from './zero-map.js'

export interface LayerOptions {
  readonly descriptor: Descriptor
  readonly blob: BlobSource
  readonly cache: ChunkCache
  /** `<path>.idx` is the index file, `<path>.journal` the running pass's. */
  readonly indexPath: string
  /** The cache directory belongs to another process: use what it has, write nothing. */
  readonly readOnly: boolean
  readonly diffId: () => Promise<DiffId | undefined>
  readonly passes: Semaphore
  /** For one span's worth of fetching and inflating. */
  readonly readDeadlineMs: number
  readonly log: Logger
}

/** After a pass failed, so long everyone gets the same error without a new try. */
const retryAfterMs = 2_000
/** A hostile layer must not fill the log. */
const loggedReasons = 10
/** After this long without a read nobody follows the frontier any more. */
const readingMs = 5_000

export class Layer implements ByteSource {
  readonly descriptor: Descriptor
  readonly #options: LayerOptions
  #state: LayerState = 'unread'
  #contents: LayerContents | undefined
  #pass: FirstPass | undefined
  #starting: Promise<void> | undefined
  #failure: RegistryFsError | undefined
  #failedAt = 0
  #lastReadAt = Number.NEGATIVE_INFINITY
  #waitingReaders = 0
  #source: SpanSource | undefined
  /** The first pass, with its turn. */
  #running: Promise<void> | undefined
  #indexBytes = 0
  readonly #closing = new AbortController()

  constructor(options: LayerOptions) {
    this.descriptor = options.descriptor
    this.#options = options
  }

  /** Uncompressed bytes known so far; final when ready. */
  get size(): number {
    return this.#contents?.tarBytes ?? this.#pass?.progress.frontierUncompressed ?? 0
  }

  get state(): LayerState {
    return this.#state
  }

  /** What is known of the layer's members: complete when `state` is ready. */
  get tree(): LayerTree | undefined {
    return this.#contents?.tree ?? this.#pass?.progress.tree
  }

  /** Runs of zeros of the whole tar; undefined until it was read. */
  get zeros(): ZeroMap | undefined {
    return this.#contents?.zeros
  }

  /** Waits until the whole layer was read and proven. */
  async ready(options: ReadOptions = {}): Promise<LayerTree> {
    await this.until(() => undefined, options)
    return this.tree ?? new LayerTree()
  }

  /**
   * Starts the pass if need be and waits until `look` finds something, or until the layer is ready and it still does
   * not. `look` is called again whenever the pass has come further.
   */
  async until<T>(
    look: (tree: LayerTree) => T | undefined,
    options: ReadOptions = {},
  ): Promise<T | undefined> {
    for (;;) {
      throwIfAborted(options.signal)
      await abortable(this.#start(), options.signal)
      const pass = this.#pass
      const tree = this.tree
      const found = tree === undefined ? undefined : look(tree)
      if (found !== undefined) return found
      if (this.#contents !== undefined) return undefined
      if (pass === undefined) throw this.#failure ?? new RegistryFsError('ABORTED', 'the layer was closed')
      await abortable(pass.progress.changed.wait(), options.signal)
    }
  }

  async read(offset: number, length: number, options: SourceReadOptions = {}): Promise<Buffer> {
    this.#lastReadAt = performance.now()
    const target = options.scratch?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length)
    let filled = 0
    while (filled < length) {
      const rest = target.subarray(filled)
      // Most reads find their bytes in memory: those pay for no deadline and wait for nothing.
      const bytes =
        this.#findSome(offset + filled, rest) || (await this.#readSome(offset + filled, rest, options))
      if (bytes === 0) break
      filled += bytes
    }
    return target.subarray(0, filled)
  }

  async seek(whence: Whence, offset: number, end: number, options: ReadOptions = {}): Promise<number> {
    // Whoever seeks is about to read.
    this.#lastReadAt = performance.now()
    const seek = (): number | undefined =>
      (this.#contents ?? this.#pass?.progress)?.zeros.seek(whence, offset, end)
    return seek() ?? (await this.until(seek, options)) ?? end
  }

  /** What can be said without reading the layer; looks for an index file. */
  async status(): Promise<LayerStatus> {
    if (this.#state === 'unread') await this.#loadIndex()
    const progress = this.#pass?.progress
    const { descriptor } = this
    return {
      digest: descriptor.digest,
      diffId: await this.#options.diffId().catch(() => undefined),
      mediaType: descriptor.mediaType,
      size: descriptor.size,
      state: this.#state,
      frontierCompressed:
        this.#contents === undefined ? (progress?.frontierCompressed ?? 0) : descriptor.size,
      frontierUncompressed: this.size,
      members: this.tree?.memberCount ?? 0,
      seekPoints: (this.#contents?.spans ?? progress?.spans)?.count ?? 0,
      indexBytes: this.#indexBytes,
      cachedBytes: this.#options.cache.disk.bytesOf(descriptor.digest),
      spansInflated: this.#source?.inflated ?? 0,
      error: this.#failure?.describe(),
    }
  }

  /** Stops a running pass; what it journaled stays. */
  async close(): Promise<void> {
    this.#closing.abort(new RegistryFsError('ABORTED', 'registryfs is stopping'))
    await this.#running
  }

  /** What is in memory: the span that the first pass is at, or one that was inflated lately. */
  #findSome(offset: number, target: Buffer): number {
    return this.#pass?.recent.find(offset, target) || (this.#source?.findSome(offset, target) ?? 0)
  }

  /** Fills the start of `target`; 0 at the end of the layer. */
  async #readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number> {
    const ready = (): number | SpanSource | undefined => {
      const found = this.#findSome(offset, target)
      if (found > 0) return found
      const spans = this.#contents?.spans ?? this.#pass?.progress.spans
      return spans?.find(offset) === undefined ? undefined : this.#source
    }
    this.#waitingReaders++
    const found = await this.until(ready, options).finally(() => this.#waitingReaders--)
    if (found === undefined) return 0
    if (typeof found === 'number') return found
    const where = { layer: this.descriptor.digest, offset }
    return withDeadline(
      this.#options.readDeadlineMs,
      'reading from the registry',
      options.signal,
      async (signal) => found.readSome(offset, target, { signal }),
    ).catch(async (error: unknown) => {
      if (hasCode(error, 'CORRUPT') && this.#contents !== undefined) await this.#forgetIndex()
      throw error instanceof RegistryFsError ? error.within(where) : error
    })
  }

  /** Fresh bytes did not inflate from where the index says: the next read builds it anew. */
  async #forgetIndex(): Promise<void> {
    this.#options.log.warn({ layer: this.descriptor.digest }, 'the index does not fit the layer, dropping it')
    this.#contents = undefined
    this.#source = undefined
    this.#state = 'unread'
    if (!this.#options.readOnly) await unlink(this.#indexFile).catch(() => undefined)
  }

  /** Resolves as soon as there is a tree to look at: from the index file or from a pass that runs. */
  async #start(): Promise<void> {
    if (this.#contents !== undefined || this.#pass !== undefined) return
    if (this.#failure !== undefined && performance.now() - this.#failedAt < retryAfterMs) throw this.#failure
    this.#starting ??= this.#open().finally(() => (this.#starting = undefined))
    return this.#starting
  }

  async #open(): Promise<void> {
    if (this.#closing.signal.aborted) throw new RegistryFsError('ABORTED', 'registryfs is stopping')
    if (await this.#loadIndex()) return
    if (this.descriptor.size === 0) {
      if (this.descriptor.digest !== digestOf(Buffer.alloc(0), digestAlgorithm(this.descriptor.digest))) {
        throw this.#fail(
          new RegistryFsError('DIGEST_MISMATCH', 'the layer has no bytes, but not their digest'),
        )
      }
      this.#fill(emptyContents())
      return
    }
    // The permit is held while the pass runs, beyond this function.
    await new Promise<void>((resolve, reject) => {
      this.#running = this.#options.passes.run(async () => {
        try {
          const pass = await FirstPass.prepare(this.#passOptions())
          this.#source = this.#sourceOf(contentsOfPass(pass.progress, 0))
          this.#pass = pass
          this.#state = 'reading'
          resolve()
          await this.#run(pass)
        } catch (error) {
          reject(this.#fail(error))
        }
      })
    })
  }

  async #loadIndex(): Promise<boolean> {
    if (this.#contents !== undefined) return true
    const { descriptor } = this
    const loaded = await loadIndex(
      this.#indexFile,
      { digest: descriptor.digest, blobBytes: descriptor.size },
      this.#options.readOnly,
    )
    if (loaded === undefined) return false
    this.#fill(contentsOfIndex(loaded.index))
    this.#indexBytes = loaded.fileBytes
    return true
  }

  async #run(pass: FirstPass): Promise<void> {
    const { descriptor } = this
    const { log, readOnly, indexPath } = this.#options
    const started = performance.now()
    log.info({ layer: descriptor.digest, bytes: descriptor.size }, 'first pass starts')
    const result = await pass.run()
    const { progress } = pass
    progress.tree.finish()
    for (const reason of progress.tree.skipped.slice(0, loggedReasons)) {
      log.warn({ layer: descriptor.digest }, `a member is not shown: ${reason}`)
    }
    this.#fill(contentsOfPass(progress, result.tarBytes))
    log.info(
      { layer: descriptor.digest, ms: Math.round(performance.now() - started), tarBytes: result.tarBytes },
      'first pass done',
    )
    if (!readOnly)
      await this.#save(pass, result).catch((error: unknown) => {
        log.warn({ layer: descriptor.digest, reason: describeError(error) }, 'the index cannot be saved')
      })
    this.#pass = undefined
    progress.changed.notify()
    if (!readOnly) await removeJournal(`${indexPath}.journal`)
  }

  async #save(
    pass: FirstPass,
    result: { readonly diffId: DiffId; readonly tarBytes: number },
  ): Promise<void> {
    const { progress } = pass
    const saved = await saveIndex(this.#indexFile, {
      digest: this.descriptor.digest,
      blobBytes: this.descriptor.size,
      diffId: result.diffId,
      tarBytes: result.tarBytes,
      spans: progress.spans,
      windows: progress.windows,
      zeros: progress.zeros,
      members: progress.members,
      seals: progress.seals,
    })
    this.#indexBytes = saved.fileBytes
    // The windows are on disk now: let go of those in memory.
    this.#fill({ ...contentsOfPass(progress, result.tarBytes), windows: saved.windows })
  }

  #fill(contents: LayerContents): void {
    this.#source = this.#sourceOf(contents)
    this.#contents = contents
    this.#state = 'ready'
    this.#failure = undefined
  }

  #fail(error: unknown): RegistryFsError {
    const { descriptor } = this
    const failure =
      error instanceof RegistryFsError
        ? error.within({ layer: descriptor.digest })
        : new RegistryFsError('CORRUPT', `reading the layer failed: ${describeError(error)}`, {
            layer: descriptor.digest,
            cause: error,
          })
    const pass = this.#pass
    this.#failure = failure
    this.#failedAt = performance.now()
    this.#pass = undefined
    this.#source = undefined
    this.#state = 'failed'
    if (!hasCode(failure, 'ABORTED'))
      this.#options.log.error(
        // Where in our code a foreseen error was made tells nobody anything.
        {
          layer: descriptor.digest,
          code: failure.code,
          ...(error instanceof RegistryFsError ? {} : { err: error }),
        },
        failure.describe(),
      )
    const cleared = hasCode(failure, 'DIGEST_MISMATCH', 'CORRUPT') ? this.#purge() : Promise.resolve()
    void cleared.finally(() => pass?.progress.changed.notify())
    return failure
  }

  /** Nothing of bytes that turned out to be wrong is kept. */
  async #purge(): Promise<void> {
    await this.#options.cache.removeBlob(this.descriptor.digest)
    if (!this.#options.readOnly) await removeJournal(`${this.#options.indexPath}.journal`)
  }

  get #indexFile(): string {
    return `${this.#options.indexPath}.idx`
  }

  #sourceOf({ spans, windows, zeros, sealOf }: LayerContents): SpanSource {
    const { descriptor, blob, cache } = this.#options
    return new SpanSource({
      digest: descriptor.digest,
      spans,
      windows,
      zeros,
      compressed: new CachedSource(descriptor.digest, blob, cache, sealOf),
      memory: cache.memory,
    })
  }

  #passOptions(): FirstPassOptions {
    const { descriptor, blob, cache, readOnly, indexPath, diffId, log } = this.#options
    return {
      layer: descriptor,
      blob,
      cache,
      journalPath: readOnly ? undefined : `${indexPath}.journal`,
      diffId,
      isBeingRead: () => this.#waitingReaders > 0 || performance.now() - this.#lastReadAt < readingMs,
      signal: this.#closing.signal,
      log,
    }
  }
}
