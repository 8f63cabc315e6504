/**
 * A layer of however many images: unread, then read by a first pass (or loaded from its index file), then ready. Who needs it first starts the pass, all share it: names that were
 * seen and bytes below the frontier can be had while it runs, the rest waits as long as it makes progress (or waits for its turn) and fails with it; the next who asks tries again.
 */
import type { ChunkedBlob } from '../blob/missing-chunks.js'
import type { ByteSource, Placed, SourceReadOptions, Whence } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import { abortable, throwIfAborted, type ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import { Demand } from './demand.js'
import { LayerKnowledge } from './layer-knowledge.js'
import { LayerOpener } from './layer-opener.js'
import type { LayerOptions } from './layer-options.js'
import { LayerReader, type ReadableLayer } from './layer-reader.js'
import { layerStatusOf, type LayerState, type LayerStatus } from './layer-status.js'
import { LayerTree } from './layer-tree.js'
import type { ZeroMap } from './zero-map.js'

export class Layer implements ByteSource {
  readonly descriptor: Descriptor
  readonly demand = new Demand()
  readonly #options: LayerOptions
  readonly #known: LayerKnowledge
  readonly #opener: LayerOpener
  readonly #reader: LayerReader

  constructor(options: LayerOptions) {
    const { descriptor, cache } = options
    this.descriptor = descriptor
    this.#options = options
    this.#known = new LayerKnowledge(descriptor.digest, cache.memory, () => {
      this.#reader.touch()
    })
    this.#opener = new LayerOpener(options, this.#known, this.demand, () => this.#reader.isBusy)
    this.#reader = new LayerReader(this.#readable())
  }

  /** Uncompressed bytes known so far; final when ready. */
  get size(): number {
    return this.#known.size
  }

  get state(): LayerState {
    return this.#known.state
  }

  /** Of its last pass, where whoever asks is told so; a later one may go well. */
  get failure(): RegistryFsError | undefined {
    return this.#known.failure
  }

  /** Changes while what is under way gets on; where it waits for its turn that is what runs. Undefined: nothing is. */
  get progress(): number | undefined {
    const { contents, pass } = this.#known
    if (contents !== undefined) return undefined
    return pass?.progress.workDone ?? this.#options.passes.progressFor(this.demand)
  }

  /** What is known of the layer's members: complete when `state` is ready. */
  get tree(): LayerTree | undefined {
    return this.#known.tree
  }

  /** Runs of zeros of the whole tar; undefined until it was read. */
  get zeros(): ZeroMap | undefined {
    return this.#known.contents?.zeros
  }

  get isProven(): boolean {
    return this.#known.contents?.isProven === true
  }

  /** Offsets are those of its tar, which its digest speaks of; not what a table of contents says. */
  get isTar(): boolean {
    return this.#known.isTar
  }

  get copies(): LayerOptions['copies'] {
    return this.#options.copies
  }

  /** Of what it is fetched, and where that is kept; undefined where it lies on this machine. */
  get chunked(): ChunkedBlob | undefined {
    const { descriptor, blob, cache } = this.#options
    if (blob.isLocal === true) return undefined
    return {
      digest: descriptor.digest,
      blob,
      cache,
      sealOf: (index) => this.#known.contents?.sealOf?.(index),
    }
  }

  /** Waits until all members are known. */
  async ready(options: ReadOptions = {}): Promise<LayerTree> {
    await this.until(() => undefined, options)
    return this.tree ?? new LayerTree()
  }

  /** Also reads all of a layer whose members were found without that, and holds it against its digest. */
  async prove(options: ReadOptions = {}): Promise<void> {
    await this.ready(options)
    if (!this.isProven) await abortable(this.#opener.prove(), options.signal)
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
      await abortable(this.#opener.start(), options.signal)
      const { pass, tree } = this.#known
      const found = tree === undefined ? undefined : look(tree)
      if (found !== undefined) this.#known.tell()
      if (found !== undefined || this.#known.contents !== undefined) return found
      if (pass !== undefined) await abortable(pass.progress.changed.wait(), options.signal)
      else if (this.failure !== undefined) throw this.failure
      // It gave way, and waits for another turn.
      else if (this.#opener.isClosed) throw new RegistryFsError('ABORTED', 'the layer was closed')
    }
  }

  get placed(): Placed | undefined {
    return this.#known.placed
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
    const seek = (): number | undefined => this.#known.zeros?.seek(whence, offset, end)
    return seek() ?? (await this.#reader.until(seek, options)) ?? end
  }

  /** What can be said without reading the layer; looks for an index file. Aborting leaves out a diff ID that has not come. */
  async status({ signal }: ReadOptions = {}): Promise<LayerStatus> {
    await this.#opener.findIndex()
    const { bytes, keeper } = this.#opener
    const diffId = await abortable(this.#options.diffId(), signal).catch(() => undefined)
    const { state, contents, pass, failure } = this.#known
    return layerStatusOf(bytes, { state, diffId, contents, progress: pass?.progress, index: keeper, failure })
  }

  /** Stops a running pass; what it journaled stays. */
  async close(): Promise<void> {
    await this.#opener.close()
  }

  #readable(): ReadableLayer {
    const known = this.#known
    return {
      digest: this.descriptor.digest,
      readDeadlineMs: this.#options.readDeadlineMs,
      source: () => known.source,
      pass: () => (known.contents === undefined ? known.firstPass : undefined),
      until: async (look, options) => this.until(look, options),
      onUseless: async (source, reason) => this.#opener.forgetIndex(source, reason),
    }
  }
}
