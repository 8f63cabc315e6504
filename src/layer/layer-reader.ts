import { peekAll } from '../blob/peek.js'
import type { SourceReadOptions } from '../blob/source.js'
import { withDeadline, type ReadOptions } from '../util/abort.js'
import type { Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import type { FirstPass } from './first-pass.js'
import type { TarSource } from './tar-source.js'

/** After this long without a read nobody follows the frontier any more. */
const readingMs = 5_000
/** Of one load: what is pushed out again at once is better read. */
const mostLoads = 8

/** A layer as its reader sees it; what it answers changes while a first pass runs. */
export interface ReadableLayer {
  readonly digest: Digest
  readonly readDeadlineMs: number
  source(): TarSource | undefined
  /** While members and bytes are still to come. */
  pass(): FirstPass | undefined
  /** As Layer.until. */
  until<T>(look: () => T | undefined, options: ReadOptions): Promise<T | undefined>
  /** Bytes did not decode as they once did, or what that takes is gone. */
  onUseless(source: TarSource, reason: RegistryFsError): Promise<void>
}

/** What takes fetching or decoding. */
interface Obtainable {
  readonly source: TarSource
  readonly shown: number
}

/** The bytes of a layer's tar: what is in memory at once, the rest as soon as it is known and decoded. */
export class LayerReader {
  readonly #layer: ReadableLayer
  #lastReadAt = Number.NEGATIVE_INFINITY
  #waiting = 0

  constructor(layer: ReadableLayer) {
    this.#layer = layer
  }

  get isBusy(): boolean {
    return this.#waiting > 0 || performance.now() - this.#lastReadAt < readingMs
  }

  /** Somebody is about to read. */
  touch(): void {
    this.#lastReadAt = performance.now()
  }

  /** As Layer.until, for somebody who reads. */
  async until<T>(look: () => T | undefined, options: ReadOptions): Promise<T | undefined> {
    this.#waiting++
    return this.#layer.until(look, options).finally(() => this.#waiting--)
  }

  async read(offset: number, length: number, options: SourceReadOptions): Promise<Buffer> {
    this.touch()
    const target = options.scratch?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length)
    let filled = 0
    while (filled < length) {
      const at = offset + filled
      const rest = target.subarray(filled)
      // Most reads find their bytes in memory: those pay for no deadline and wait for nothing.
      const bytes =
        this.#peekSome(at, rest.length)?.copy(rest) ?? (await this.#readSome(at, rest, options.signal))
      if (bytes === 0) break
      filled += bytes
    }
    return target.subarray(0, filled)
  }

  peek(offset: number, length: number): readonly Buffer[] | undefined {
    this.touch()
    return peekAll(offset, length, (at, bytes) => this.#peekSome(at, bytes))
  }

  /** Brings all of it to memory, where `peek` finds it; gives up where there is no room. */
  async load(offset: number, length: number, options: ReadOptions): Promise<void> {
    this.touch()
    let at = offset
    for (let loads = 0; at < offset + length;) {
      const part = this.#peekSome(at, offset + length - at)
      if (part !== undefined) at += part.length
      else if (loads++ === mostLoads || !(await this.#loadSome(at, offset + length - at, options.signal)))
        return
    }
  }

  /** What is in memory: the span that the first pass is at, or one that was inflated lately. */
  #peekSome(offset: number, length: number): Buffer | undefined {
    const pass = this.#layer.pass()
    pass?.recent.follow(offset)
    const shown = shownBytes(pass, offset, length)
    if (shown === 0) return undefined
    return pass?.recent.peekSome(offset, shown) ?? this.#layer.source()?.peekSome(offset, shown)
  }

  /** Fills the start of `target`; 0 at the end of the layer. */
  async #readSome(offset: number, target: Buffer, signal: AbortSignal | undefined): Promise<number> {
    for (;;) {
      const found = await this.#wait(offset, target.length, (bytes) => bytes.copy(target), signal)
      if (found === undefined) return 0
      if (typeof found === 'number') return found
      const rest = target.subarray(0, found.shown)
      const filled = await this.#within(found.source, offset, signal, async (inner) =>
        found.source.readSome(offset, rest, { signal: inner }),
      )
      if (filled !== undefined) return filled
    }
  }

  /** True when `peek` finds it. */
  async #loadSome(offset: number, length: number, signal: AbortSignal | undefined): Promise<boolean> {
    const found = await this.#wait(offset, length, () => true, signal)
    if (typeof found !== 'object') return found !== undefined
    const isLoaded = await this.#within(
      found.source,
      offset,
      signal,
      async (inner) => found.source.load?.(offset, Math.min(length, found.shown), { signal: inner }) ?? false,
    )
    return isLoaded ?? this.#loadSome(offset, length, signal)
  }

  /** Until something is in memory, which is taken at once, or can be had. Undefined at the end of the layer. */
  async #wait<T extends number | true>(
    offset: number,
    length: number,
    take: (bytes: Buffer) => T,
    signal: AbortSignal | undefined,
  ): Promise<T | Obtainable | undefined> {
    const look = (): T | Obtainable | undefined => {
      const found = this.#peekSome(offset, length)
      if (found !== undefined) return take(found)
      const pass = this.#layer.pass()
      const shown = shownBytes(pass, offset, length)
      const source = this.#layer.source()
      return shown > 0 && source?.covers(offset) === true ? { source, shown } : undefined
    }
    return this.until(look, { signal })
  }

  /** Undefined where the source was given up meanwhile, or what it needs is gone, as when somebody deletes the cache: there will be another one. */
  async #within<T>(
    source: TarSource,
    offset: number,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const { readDeadlineMs, digest } = this.#layer
    try {
      return await withDeadline(readDeadlineMs, 'reading from the registry', signal, work)
    } catch (error) {
      if (!(error instanceof RegistryFsError)) throw error
      const isGone = error.code === 'GONE' && source.isLost === true
      if (isGone || error.code === 'CORRUPT') {
        // For others' bytes: then its own say nothing.
        if (this.#layer.source() !== source) return undefined
        await this.#layer.onUseless(source, error)
      }
      if (isGone) return undefined
      throw error.within({ layer: digest, offset })
    }
  }
}

/** How many of `length` bytes from `offset` readers may have. */
function shownBytes(pass: FirstPass | undefined, offset: number, length: number): number {
  return pass === undefined ? length : pass.progress.shownBytes(offset, length)
}
