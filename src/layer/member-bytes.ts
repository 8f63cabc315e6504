import type { ByteSource, Placed, SourceReadOptions, Whence } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { Layer } from './layer.js'
import type { MemberTable } from './member-table.js'

/**
 * A layer as who has a member open reads it: for as long as that member is what it was. A pass that begins anew finds it
 * once more and is waited for; one over other bytes than before may have another member there, and reads fail with GONE.
 */
export class MemberBytes implements ByteSource {
  readonly #layer: Layer
  readonly #index: number
  /** The last one in which it was seen. */
  #members: MemberTable

  constructor(layer: Layer, members: MemberTable, index: number) {
    this.#layer = layer
    this.#members = members
    this.#index = index
  }

  get size(): number {
    return this.#layer.size
  }

  get placed(): Placed | undefined {
    return this.#isSettled ? this.#layer.placed : undefined
  }

  async read(offset: number, length: number, options: SourceReadOptions = {}): Promise<Buffer> {
    for (;;) {
      if (!this.#isSettled) await this.settle(options)
      const bytes = await this.#layer.read(offset, length, options)
      if (this.#isSettled) return bytes
    }
  }

  peek(offset: number, length: number): readonly Buffer[] | undefined {
    return this.#isSettled ? this.#layer.peek(offset, length) : undefined
  }

  async load(offset: number, length: number, options: ReadOptions = {}): Promise<void> {
    await this.settle(options)
    await this.#layer.load(offset, length, options)
  }

  async seek(whence: Whence, offset: number, end: number, options: ReadOptions = {}): Promise<number> {
    for (;;) {
      await this.settle(options)
      const found = await this.#layer.seek(whence, offset, end, options)
      // Another tree may have taken the place of that one meanwhile.
      if (this.#isSettled) return found
    }
  }

  /** Waits until the layer has come to the member. Throws GONE when it has another in its place. */
  async settle(options: ReadOptions): Promise<void> {
    if (this.#isSettled) return
    const index = this.#index
    const found = await this.#layer.until(
      ({ members }) => (members.length > index ? members : undefined),
      options,
    )
    if (found === undefined || !found.encoded(index, index + 1).equals(this.#encoded))
      throw new RegistryFsError('GONE', 'the layer was read anew, and the file is not there any more', {
        layer: this.#layer.descriptor.digest,
      })
    this.#members = found
  }

  get #encoded(): Buffer {
    return this.#members.encoded(this.#index, this.#index + 1)
  }

  get #isSettled(): boolean {
    return this.#layer.tree?.members === this.#members
  }
}
