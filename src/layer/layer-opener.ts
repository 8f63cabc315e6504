/**
 * How a layer comes to be known: from its index file, without a pass where it needs none, else by a first pass in its turn,
 * which others may take away; and back where it failed or its index turned out to be useless.
 */
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import { DecodedSpans } from './decoded-spans.js'
import type { Demand } from './demand.js'
import { finishTree } from './finish-tree.js'
import { FirstPass, type FirstPassOptions, type FirstPassResult } from './first-pass.js'
import { HeaderWalk } from './header-walk.js'
import { IndexKeeper } from './index-keeper.js'
import { Inflations } from './inflations.js'
import { latestArriving } from './latest-arriving.js'
import { contentsOfPass, sourceOfPass, type LayerBytes, type LayerContents } from './layer-contents.js'
import { layerFailure } from './layer-failure.js'
import type { LayerKnowledge } from './layer-knowledge.js'
import type { LayerOptions } from './layer-options.js'
import type { LayerTree } from './layer-tree.js'
import { openWithoutPass } from './open-without-pass.js'
import type { PassTurn } from './pass-turns.js'
import { runPass } from './run-pass.js'
import type { TarSource } from './tar-source.js'
import { TocSource } from './toc-source.js'
import type { Windows } from './windows.js'

export class LayerOpener {
  readonly #options: LayerOptions
  readonly #known: LayerKnowledge
  readonly #demand: Demand
  readonly #isBeingRead: () => boolean
  readonly bytes: LayerBytes
  readonly keeper: IndexKeeper
  readonly #closing = new AbortController()
  #starting: Promise<void> | undefined
  #running: Promise<void> | undefined // The first pass, with its turn.
  #proving: Promise<void> | undefined
  #purging: Promise<unknown> | undefined

  constructor(options: LayerOptions, known: LayerKnowledge, demand: Demand, isBeingRead: () => boolean) {
    this.#options = options
    this.#known = known
    this.#demand = demand
    this.#isBeingRead = isBeingRead
    this.#purging = options.replaced
    const { descriptor, blob, cache, zlib } = options
    this.keeper = new IndexKeeper(options.indexPath, options)
    const arriving = latestArriving(() => known.firstPass?.arriving)
    const decoded = new DecodedSpans(descriptor.digest, cache)
    this.bytes = { descriptor, blob, cache, decoded, inflations: new Inflations(), arriving, zlib }
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Resolves as soon as there is a tree to look at: from the index file or from a pass that runs. */
  async start(): Promise<void> {
    if (this.#known.contents !== undefined || this.#known.pass !== undefined) return
    const failure = this.#known.freshFailure
    if (failure !== undefined) throw failure
    this.#starting ??= this.#open().finally(() => (this.#starting = undefined))
    return this.#starting
  }

  /** Where nobody has asked for more yet. One that cannot be read now is told of to who needs it. */
  async findIndex(): Promise<void> {
    if (this.#known.state !== 'unread' || this.#starting !== undefined) return
    await this.#loadIndex().catch((error: unknown) => {
      if (!hasCode(error, 'UNREADABLE')) throw error
    })
  }

  /** Reads all of a layer that is known without that. */
  async prove(): Promise<void> {
    this.#proving ??= this.#provePlain().finally(() => (this.#proving = undefined))
    return this.#proving
  }

  /** Fresh bytes did not inflate from where the index says, or it was deleted: the next read builds it anew. */
  async forgetIndex(source: TarSource, reason: RegistryFsError): Promise<void> {
    // A table of contents was held against its digest: there is no better one.
    if (this.#known.contents?.source !== source || source instanceof TocSource) return
    const layer = this.bytes.descriptor.digest
    this.#options.log.warn({ layer, reason: reason.message }, 'dropping the index')
    this.#known.forget(true)
    await this.keeper.removeIndex()
  }

  /** Stops a running pass; what it journaled stays. */
  async close(): Promise<void> {
    this.#closing.abort(new RegistryFsError('ABORTED', 'registryfs is stopping'))
    await this.#running
    await this.#proving?.catch(() => undefined)
  }

  async #open(): Promise<void> {
    if (this.isClosed) throw new RegistryFsError('ABORTED', 'registryfs is stopping')
    if (await this.#loadIndex()) return
    const { signal } = this.#closing
    const { passes, cache, diffId, log } = this.#options
    const { isTold } = this.#known
    const opened = await openWithoutPass(this.bytes, diffId, isTold, signal, log).catch((error: unknown) => {
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
      this.#running = passes.run(this.#demand, cache.memory, read, signal)
    })
  }

  async #readInTurn(turn: PassTurn, onReading: () => void): Promise<void> {
    try {
      if (await this.#loadIndex()) return // Made by another process meanwhile.
      const pass = await FirstPass.prepare(this.#passOptions(false, turn.signal))
      turn.progress = () => pass.progress.workDone
      this.#known.begin(pass, sourceOfPass(pass.progress, this.bytes))
      onReading()
      await this.#run(pass, turn.signal)
    } catch (error) {
      // Nothing was begun, nor has the layer failed: whoever asks next may have it.
      if (error instanceof RegistryFsError && error.code === 'UNREADABLE' && this.#known.pass === undefined)
        throw error.within({ layer: this.bytes.descriptor.digest })
      if (!turn.isStopped || !hasCode(error, 'ABORTED')) throw this.#fail(error)
      this.#giveWay()
    }
  }

  /** The bytes can be had at once; only members may be still to be found. */
  #takeOpened(plain: HeaderWalk | LayerContents): void {
    if (!(plain instanceof HeaderWalk)) {
      this.#known.complete(plain)
      return
    }
    this.#known.begin(plain, plain.source)
    this.#running = plain.run().then(
      (contents) => {
        finishTree(contents.tree, this.bytes.descriptor.digest, this.#options.log)
        this.#known.complete(contents)
        this.#known.end(plain)
      },
      (error: unknown) => void this.#fail(error),
    )
  }

  async #provePlain(): Promise<void> {
    await this.#options.passes.run(this.#demand, this.#options.cache.memory, async () => {
      const before = this.#known.contents
      const pass = await FirstPass.prepare(this.#passOptions(true, this.#closing.signal))
      try {
        const result = await pass.run()
        // Nodes that others have are those of the tree that was.
        if (result !== undefined) await this.#finish(pass, result, before?.tree)
      } catch (error) {
        if (!hasCode(error, 'DIGEST_MISMATCH', 'CORRUPT')) throw error
        throw this.#fail(error)
      }
    })
  }

  /** Throws UNREADABLE: there may be one. */
  async #loadIndex(): Promise<boolean> {
    await this.#purging
    if (this.#known.contents !== undefined) return true
    const contents = await this.keeper.load(this.bytes)
    // Somebody else may have been quicker: what was told once stays.
    if (contents !== undefined && this.#known.tree === undefined) this.#known.complete(contents)
    return contents !== undefined
  }

  async #run(pass: FirstPass, signal: AbortSignal): Promise<void> {
    const read = await runPass(pass, this.bytes, signal, this.#options.log)
    if ('diffId' in read) return this.#finish(pass, read)
    this.#takeOpened(read)
    this.#known.end(pass)
  }

  async #finish(pass: FirstPass, result: FirstPassResult, tree?: LayerTree): Promise<void> {
    const { progress } = pass
    const complete = (windows?: Windows): void => {
      const contents = contentsOfPass(progress, result.tarBytes, this.bytes, windows)
      this.#known.complete({ ...contents, tree: tree ?? contents.tree })
    }
    complete()
    await this.keeper.save(pass, result, this.bytes).then(complete, (error: unknown) => {
      const layer = this.bytes.descriptor.digest
      this.#options.log.warn({ layer, reason: describeError(error) }, 'the index cannot be saved')
    })
    this.#known.end(pass)
    await this.keeper.removeJournal()
  }

  /** Others needed the turn: whoever needs this layer again waits for another. */
  #giveWay(): void {
    const { pass } = this.#known
    this.#known.forget(false)
    if (pass !== undefined) this.#known.end(pass)
  }

  #fail(error: unknown): RegistryFsError {
    const { descriptor, blob, cache, log } = this.#options
    const { digest, size } = descriptor
    const failure = layerFailure(error, digest, log)
    const { pass } = this.#known
    const isWrong = hasCode(failure, 'DIGEST_MISMATCH', 'CORRUPT')
    const hasOthers = isWrong && blob.distrust?.(0, size) === true
    this.#known.fail(failure, isWrong, hasOthers)
    // Nothing of bytes that turned out to be wrong is kept.
    const purge = isWrong ? [cache.removeBlob(digest), this.keeper.removeJournal()] : []
    this.#purging = Promise.all(purge)
    void this.#purging.finally(() => pass?.progress.changed.notify())
    return failure
  }

  #passOptions(takesPlain: boolean, signal: AbortSignal): FirstPassOptions {
    const { descriptor, diffId, log } = this.#options
    const isBeingRead = this.#isBeingRead
    const { journalPath } = this.keeper
    return { ...this.bytes, layer: descriptor, takesPlain, journalPath, diffId, isBeingRead, signal, log }
  }
}
