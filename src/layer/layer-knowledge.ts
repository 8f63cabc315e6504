import type { MemoryCache } from '../blob/memory-cache.js'
import type { Placed } from '../blob/source.js'
import type { Digest } from '../util/digest.js'
import type { RegistryFsError } from '../util/errors.js'
import { FirstPass } from './first-pass.js'
import type { HeaderWalk } from './header-walk.js'
import type { LayerContents } from './layer-contents.js'
import { LayerSpace } from './layer-space.js'
import type { LayerState } from './layer-status.js'
import type { LayerTree } from './layer-tree.js'
import type { TarSource } from './tar-source.js'
import { TocSource } from './toc-source.js'
import type { ZeroMap } from './zero-map.js'

/** After a pass failed, so long everyone gets the same error without a new try. */
const retryAfterMs = 2_000

/**
 * What is known of a layer at the moment: nothing, what the pass that runs has found so far, or all; or why it failed. What
 * is in memory is shown as far as that to whoever reads it there without us.
 */
export class LayerKnowledge {
  readonly #digest: Digest
  readonly #memory: MemoryCache
  readonly #space: LayerSpace
  #state: LayerState = 'unread'
  #contents: LayerContents | undefined
  #pass: FirstPass | HeaderWalk | undefined
  #source: TarSource | undefined
  #failure: RegistryFsError | undefined
  #failedAt = 0
  #hasAnswered = false // Somebody was told something since the last failure.
  #isTold = false

  /** `onTouched`: somebody has read without us. */
  constructor(digest: Digest, memory: MemoryCache, onTouched: () => void) {
    this.#digest = digest
    this.#memory = memory
    this.#space = new LayerSpace(memory, digest, (offset) => {
      onTouched()
      this.#source?.touch?.(offset)
    })
  }

  get state(): LayerState {
    return this.#state
  }

  get contents(): LayerContents | undefined {
    return this.#contents
  }

  /** The one that runs, until all that it has found is known and kept. */
  get pass(): FirstPass | HeaderWalk | undefined {
    return this.#pass
  }

  get firstPass(): FirstPass | undefined {
    return this.#pass instanceof FirstPass ? this.#pass : undefined
  }

  get source(): TarSource | undefined {
    return this.#source
  }

  /** Of the last pass; undefined also where a later one may go well, and nobody is told. */
  get failure(): RegistryFsError | undefined {
    return this.#failure
  }

  /** What everyone is told without a new try. */
  get freshFailure(): RegistryFsError | undefined {
    return performance.now() - this.#failedAt < retryAfterMs ? this.#failure : undefined
  }

  /** Somebody was told where members lie, and keeps it whatever becomes of the layer. */
  get isTold(): boolean {
    return this.#isTold
  }

  /** Uncompressed bytes. */
  get size(): number {
    return this.#contents?.tarBytes ?? this.#pass?.progress.frontierUncompressed ?? 0
  }

  get tree(): LayerTree | undefined {
    return (this.#contents ?? this.#pass?.progress)?.tree
  }

  get zeros(): ZeroMap | undefined {
    return (this.#contents ?? this.#pass?.progress)?.zeros
  }

  get isTar(): boolean {
    return this.#source !== undefined && !(this.#source instanceof TocSource)
  }

  get placed(): Placed | undefined {
    // Places in a table of contents are others than those in the tar, which may take its turn.
    return this.#source instanceof TocSource ? undefined : this.#space.space
  }

  /** Somebody is told of what was found. */
  tell(): void {
    this.#hasAnswered = this.#isTold = true
  }

  /** `source`: of what the pass has found so far. */
  begin(pass: FirstPass | HeaderWalk, source: TarSource): void {
    this.#source = source
    this.#pass = pass
    pass.progress.onShown = this.#show.bind(this)
    this.#show()
    this.#state = 'reading'
  }

  complete(contents: LayerContents): void {
    this.#source = contents.source
    this.#contents = contents
    this.#isTold = true
    this.#show()
    this.#state = 'ready'
    this.#failure = undefined
  }

  /** Whoever waits for the pass looks again. */
  end(pass: FirstPass | HeaderWalk): void {
    if (this.#pass === pass) this.#pass = undefined
    pass.progress.changed.notify()
  }

  /** Until somebody asks again. `isWrong`: members may lie elsewhere than was told. */
  forget(isWrong: boolean): void {
    this.#drop(isWrong)
    this.#state = 'unread'
    this.#failure = undefined
  }

  /**
   * `isWrong`: as in `forget`. `hasOthers`: somebody else may have the right bytes, so that where nobody has seen any of
   * these nobody is told, and who waits starts another pass. Who waits for this one is not woken yet.
   */
  fail(failure: RegistryFsError, isWrong: boolean, hasOthers: boolean): void {
    this.#failure = hasOthers && !this.#hasAnswered ? undefined : failure
    this.#hasAnswered = false
    this.#failedAt = performance.now()
    this.#pass = undefined
    this.#drop(isWrong)
    this.#state = 'failed'
  }

  /** And what was inflated by it, which nothing has proven. */
  #drop(isWrong: boolean): void {
    this.#contents = undefined
    this.#source?.retire?.()
    this.#source = undefined
    this.#show()
    this.#memory.removeLayer(this.#digest)
    if (isWrong) this.#space.space?.closeFiles()
  }

  #show(): void {
    const shown = this.#contents === undefined ? (this.firstPass?.progress.shownEnd ?? 0) : Infinity
    this.#space.show(this.#source, shown)
  }
}
