import type { CachedSource } from '../blob/cached-source.js'
import { zeros } from '../blob/zeros.js'
import type { ReadOptions } from '../util/abort.js'
import type { TarSource } from './tar-source.js'
import type { ZeroMap } from './zero-map.js'

/** A layer that is not compressed: its tar is the blob. */
export class PlainSource implements TarSource {
  readonly #blob: CachedSource
  readonly #zeros: ZeroMap

  constructor(blob: CachedSource, zeros: ZeroMap) {
    this.#blob = blob
    this.#zeros = zeros
  }

  peekSome(offset: number, length: number): Buffer | undefined {
    const run = Math.min(this.#zeros.zerosAt(offset), length)
    return run === 0 ? this.#blob.peekSome(offset, length) : zeros(run)
  }

  covers(offset: number): boolean {
    return offset < this.#blob.size
  }

  async readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number> {
    return (await this.#blob.read(offset, target.length, options)).copy(target)
  }
}
