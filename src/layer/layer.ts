/**
 * A layer of however many images: unread, then read by a first pass (or loaded from its index file), then ready. Who needs it first starts the pass, all share it: names that were
 * seen and bytes below the frontier can be had while it runs, the rest waits as long as it makes progress (or waits for its turn) and fails with it; the next who asks tries again.
 */
import type { ByteSource, Placed, SourceReadOptions, Whence } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import { abortable, throwIfAborted, type ReadOptions } from '../util/abort.js'
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import { DecodedSpans } from './decoded-spans.js'
import { Demand } from './demand.js'
import { FirstPass, type FirstPassOptions, type FirstPassResult } from './first-pass.js'
import { finishTree } from './finish-tree.js'
import { HeaderWalk } from './header-walk.js'
import { IndexKeeper } from './index-keeper.js'
import { Inflations } from './inflations.js'
import { contentsOfPass, sourceOfPass, type LayerBytes, type LayerContents } from './layer-contents.js'
import { layerFailure } from './layer-failure.js'
import type { LayerOptions } from './layer-options.js'
import { LayerSpace } from './layer-space.js'
import { layerStatusOf, type LayerState, type LayerStatus } from './layer-status.js'
import { latestArriving } from './latest-arriving.js'
import { LayerReader, type ReadableLayer } from './layer-reader.js'
import { LayerTree } from './layer-tree.js'
import { openWithoutPass } from './open-without-pass.js'
import type { PassTurn } from './pass-turns.js'
import { runPass } from './run-pass.js'
import type { TarSource } from './tar-source.js'
import { TocSource } from './toc-source.js'
import type { Windows } from './windows.js'
import type { ZeroMap } from './zero-map.js'

/** After a pass failed, so long everyone gets the same error without a new try. */
const retryAfterMs = 2_000

export class Layer implements ByteSource {
  readonly descriptor: Descriptor
  readonly demand = new Demand()
  readonly #options: LayerOptions
  #state: LayerState = 'unread'
  #contents: LayerContents | undefined
  #pass: FirstPass | HeaderWalk | undefined
  #starting: Promise<void> | undefined
  #failure: RegistryFsError | undefined
  #failedAt = 0
  #purging: Promise<unknown> | undefined
  #hasAnswered = false // Somebody was told something since the last failure.
  #isTold = false // Somebody was told where members lie, and keeps it whatever becomes of us.
  readonly #reader: LayerReader
  readonly #space: LayerSpace
  #source: TarSource | undefined
  readonly #bytes: LayerBytes
  #proving: Promise<void> | undefined
  #running: Promise<void> | undefined // The first pass, with its turn.
  readonly #keeper: IndexKeeper
  readonly #closing = new AbortController()

  constructor(options: LayerOptions) {
    this.descriptor = options.descriptor
    this.#options = options
    this.#purging = options.replaced
    const { descriptor, blob, cache, zlib } = options
    this.#keeper = new IndexKeeper(options.indexPath, options)
    const arriving = latestArriving(() => (this.#pass instanceof FirstPass ? this.#pass.arriving : undefined))
    this.#reader = new LayerReader(this.#readable())
    this.#space = new LayerSpace(cache.memory, descriptor.digest, (offset) => {
      this.#reader.touch()
      this.#source?.touch?.(offset)
    })
    const decoded = new DecodedSpans(descriptor.digest, cache)
    this.#bytes = { descriptor, blob, cache, decoded, inflations: new Inflations(), arriving, zlib }
  }

  /** Uncompressed bytes known so far; final when ready. */
  get size(): number {
    return this.#contents?.tarBytes ?? this.#pass?.progress.frontierUncompressed ?? 0
  }

  get state(): LayerState {
    return this.#state
  }

  /** Changes while what is under way gets on; where it waits for its turn that is what runs. Undefined: nothing is. */
  get progress(): number | undefined {
    if (this.#contents !== undefined) return undefined
    return this.#pass?.progress.workDone ?? this.#options.passes.progressFor(this.demand)
  }

  /** What is known of the layer's members: complete when `state` is ready. */
  get tree(): LayerTree | undefined {
    return this.#contents?.tree ?? this.#pass?.progress.tree
  }

  /** Runs of zeros of the whole tar; undefined until it was read. */
  get zeros(): ZeroMap | undefined {
    return this.#contents?.zeros
  }

  get isProven(): boolean {
    return this.#contents?.isProven === true
  }

  /** Offsets are those of its tar, which its digest speaks of; not what a table of contents says. */
  get isTar(): boolean {
    return this.#source !== undefined && !(this.#source instanceof TocSource)
  }

  get copies(): LayerOptions['copies'] {
    return this.#options.copies
  }

  /** Waits until all members are known. */
  async ready(options: ReadOptions = {}): Promise<LayerTree> {
    await this.until(() => undefined, options)
    return this.tree ?? new LayerTree()
  }

  /** Also reads all of a layer whose members were found without that, and holds it against its digest. */
  async prove(options: ReadOptions = {}): Promise<void> {
    await this.ready(options)
    if (this.isProven) return
    this.#proving ??= this.#provePlain().finally(() => (this.#proving = undefined))
    await abortable(this.#proving, options.signal)
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
      if (found !== undefined) this.#hasAnswered = this.#isTold = true
      if (found !== undefined || this.#contents !== undefined) return found
      if (pass !== undefined) await abortable(pass.progress.changed.wait(), options.signal)
      else if (this.#failure !== undefined) throw this.#failure
      // It gave way, and waits for another turn.
      else if (this.#closing.signal.aborted) throw new RegistryFsError('ABORTED', 'the layer was closed')
    }
  }

  get placed(): Placed | undefined {
    // Places in a table of contents are others than those in the tar, which may take its turn.
    return this.#source instanceof TocSource ? undefined : this.#space.space
  }

  async read(offset: number, length: number, options: SourceReadOptions = {}): Promise<Buffer> {
    return this.#reader.read(offset, length, options)
  }

  peek(offset: number, length: number): readonly Buffer[] | undefined {
    return this.#reader.peek(offset, length)
  }

  async load(offset: number, length: number, options: ReadOptions = {}): Promise<void> {
    return this.#reader.load(offset, length, options)
  }

  async seek(whence: Whence, offset: number, end: number, options: ReadOptions = {}): Promise<number> {
    this.#reader.touch()
    const seek = (): number | undefined =>
      (this.#contents ?? this.#pass?.progress)?.zeros.seek(whence, offset, end)
    return seek() ?? (await this.#reader.until(seek, options)) ?? end
  }

  /** What can be said without reading the layer; looks for an index file. */
  async status(): Promise<LayerStatus> {
    if (this.#state === 'unread' && this.#starting === undefined) await this.#loadIndex()
    return layerStatusOf(this.#bytes, {
      state: this.#state,
      diffId: await this.#options.diffId().catch(() => undefined),
      contents: this.#contents,
      progress: this.#pass?.progress,
      index: this.#keeper,
      failure: this.#failure,
    })
  }

  /** Stops a running pass; what it journaled stays. */
  async close(): Promise<void> {
    this.#closing.abort(new RegistryFsError('ABORTED', 'registryfs is stopping'))
    await this.#running
    await this.#proving?.catch(() => undefined)
  }

  #readable(): ReadableLayer {
    return {
      digest: this.descriptor.digest,
      readDeadlineMs: this.#options.readDeadlineMs,
      source: () => this.#source,
      pass: () => (this.#contents === undefined && this.#pass instanceof FirstPass ? this.#pass : undefined),
      until: async (look, options) => this.until(look, options),
      onUseless: async (source, reason) => this.#forgetIndex(source, reason),
    }
  }

  /** Fresh bytes did not inflate from where the index says, or it was deleted: the next read builds it anew. */
  async #forgetIndex(source: TarSource, reason: RegistryFsError): Promise<void> {
    // A table of contents was held against its digest: there is no better one.
    if (this.#contents?.source !== source || source instanceof TocSource) return
    this.#options.log.warn({ layer: this.descriptor.digest, reason: reason.message }, 'dropping the index')
    this.#contents = undefined
    this.#dropSource(true)
    this.#state = 'unread'
    await this.#keeper.removeIndex()
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
    const { signal } = this.#closing
    const { log } = this.#options
    const opened = await openWithoutPass(this.#bytes, this.#isTold, signal, log).catch((error: unknown) => {
      throw this.#fail(error)
    })
    if (opened !== undefined) {
      this.#takeOpened(opened)
      return
    }
    // The turn lasts while the pass runs, beyond this function.
    await new Promise<void>((resolve, reject) => {
      const read = async (turn: PassTurn): Promise<void> =>
        this.#readInTurn(turn, resolve).then(resolve, reject)
      const { passes, cache } = this.#options
      this.#running = passes.run(this.demand, cache.memory, read, this.#closing.signal)
    })
  }

  async #readInTurn(turn: PassTurn, onReading: () => void): Promise<void> {
    try {
      if (await this.#loadIndex()) return // Made by another process meanwhile.
      const pass = await FirstPass.prepare(this.#passOptions(false, turn.signal))
      turn.progress = () => pass.progress.workDone
      this.#source = sourceOfPass(pass.progress, this.#bytes)
      this.#pass = pass
      pass.progress.onShown = this.#show.bind(this)
      this.#show()
      this.#state = 'reading'
      onReading()
      await this.#run(pass, turn.signal)
    } catch (error) {
      if (!turn.isStopped || !hasCode(error, 'ABORTED')) throw this.#fail(error)
      this.#giveWay()
    }
  }

  /** The bytes can be had at once; only members may be still to be found. */
  #takeOpened(plain: HeaderWalk | LayerContents): void {
    if (!(plain instanceof HeaderWalk)) {
      this.#fill(plain)
      return
    }
    this.#pass = plain
    this.#source = plain.source
    this.#show()
    this.#state = 'reading'
    this.#running = plain.run().then(
      (contents) => {
        finishTree(contents.tree, this.descriptor.digest, this.#options.log)
        this.#fill(contents)
        this.#pass = undefined
        plain.progress.changed.notify()
      },
      (error: unknown) => void this.#fail(error),
    )
  }

  async #provePlain(): Promise<void> {
    await this.#options.passes.run(this.demand, this.#options.cache.memory, async () => {
      const before = this.#contents
      const pass = await FirstPass.prepare(this.#passOptions(true, this.#closing.signal))
      try {
        const result = await pass.run()
        // Nodes that others have are those of the tree that was.
        if (result !== undefined) await this.#finish(pass, result, before?.tree)
      } catch (error) {
        if (!hasCode(error, 'DIGEST_MISMATCH', 'CORRUPT')) throw error
        this.#contents = undefined
        throw this.#fail(error)
      }
    })
  }

  async #loadIndex(): Promise<boolean> {
    await this.#purging
    if (this.#contents !== undefined) return true
    const contents = await this.#keeper.load(this.#bytes)
    // Somebody else may have been quicker: what was told once stays.
    if (contents !== undefined && this.tree === undefined) this.#fill(contents)
    return contents !== undefined
  }

  async #run(pass: FirstPass, signal: AbortSignal): Promise<void> {
    const read = await runPass(pass, this.#bytes, signal, this.#options.log)
    if ('diffId' in read) return this.#finish(pass, read)
    this.#takeOpened(read)
    if (this.#pass === pass) this.#pass = undefined
    pass.progress.changed.notify()
  }

  async #finish(pass: FirstPass, result: FirstPassResult, tree?: LayerTree): Promise<void> {
    const { progress } = pass
    const fill = (windows?: Windows): void => {
      const contents = contentsOfPass(progress, result.tarBytes, this.#bytes, windows)
      this.#fill({ ...contents, tree: tree ?? contents.tree })
    }
    fill()
    await this.#keeper.save(pass, result, this.#bytes).then(fill, (error: unknown) => {
      const layer = this.descriptor.digest
      this.#options.log.warn({ layer, reason: describeError(error) }, 'the index cannot be saved')
    })
    this.#pass = undefined
    progress.changed.notify()
    await this.#keeper.removeJournal()
  }

  #fill(contents: LayerContents): void {
    this.#source = contents.source
    this.#contents = contents
    this.#isTold = true
    this.#show()
    this.#state = 'ready'
    this.#failure = undefined
  }

  /** And what was inflated by it, which nothing has proven. `isWrong`: members may lie elsewhere than was told. */
  #dropSource(isWrong: boolean): void {
    this.#source?.retire?.()
    this.#source = undefined
    this.#show()
    this.#options.cache.memory.removeLayer(this.descriptor.digest)
    if (isWrong) this.#space.space?.closeFiles()
  }

  /** What is in memory is read without us as far as we would show it. */
  #show(): void {
    const pass = this.#pass instanceof FirstPass ? this.#pass : undefined
    const shown = this.#contents === undefined ? (pass?.progress.shownEnd ?? 0) : Infinity
    this.#space.show(this.#source, shown)
  }

  /** Others needed the turn: whoever needs this layer again waits for another. */
  #giveWay(): void {
    const pass = this.#pass
    this.#pass = undefined
    this.#failure = undefined
    this.#dropSource(false)
    this.#state = 'unread'
    pass?.progress.changed.notify()
  }

  #fail(error: unknown): RegistryFsError {
    const { digest } = this.descriptor
    const failure = layerFailure(error, digest, this.#options.log)
    const pass = this.#pass
    const isWrong = hasCode(failure, 'DIGEST_MISMATCH', 'CORRUPT')
    const hasOthers = isWrong && this.#options.blob.distrust?.(0, this.descriptor.size) === true
    // A mirror's wrong bytes are no failure where nobody has seen any: who waits starts a pass over another's.
    this.#failure = hasOthers && !this.#hasAnswered ? undefined : failure
    this.#options.onFailure?.(this.#failure)
    this.#hasAnswered = false
    this.#failedAt = performance.now()
    this.#pass = undefined
    this.#dropSource(isWrong)
    this.#state = 'failed'
    // Nothing of bytes that turned out to be wrong is kept.
    const purge = isWrong ? [this.#options.cache.removeBlob(digest), this.#keeper.removeJournal()] : []
    this.#purging = Promise.all(purge)
    void this.#purging.finally(() => pass?.progress.changed.notify())
    return failure
  }

  #passOptions(takesPlain: boolean, signal: AbortSignal): FirstPassOptions {
    const { diffId, log } = this.#options
    return {
      ...this.#bytes,
      layer: this.descriptor,
      takesPlain,
      journalPath: this.#keeper.journalPath,
      diffId,
      isBeingRead: () => this.#reader.isBusy,
      signal,
      log,
    }
  }
}
