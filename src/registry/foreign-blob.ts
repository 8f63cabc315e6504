import type { BlobSource, ReadIntoOptions } from '../blob/source.js'
import { clampLength } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import { hasCode } from '../util/errors.js'

/**
 * A blob that the registry may not have, for it may not distribute it (Windows' base layers): then it is taken from
 * the URLs of its descriptor, in order. Which place has it is found by the first read.
 */
export class ForeignBlob implements BlobSource {
  readonly size: number
  readonly #places: readonly BlobSource[]
  #current = 0

  /** The registry's first. */
  constructor(places: readonly [BlobSource, ...BlobSource[]]) {
    this.size = places[0].size
    this.#places = places
  }

  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(clampLength(this.size, offset, length))
    await this.readInto(offset, target, options)
    return target
  }

  async readInto(offset: number, target: Buffer, options: ReadIntoOptions = {}): Promise<void> {
    for (let at = this.#current; ; at++) {
      try {
        await (this.#places[at] as BlobSource).readInto(offset, target, options)
        this.#current = at
        return
      } catch (error) {
        const isElsewhere = hasCode(error, 'GONE') && at + 1 < this.#places.length
        if (!isElsewhere) throw error
      }
    }
  }
}
