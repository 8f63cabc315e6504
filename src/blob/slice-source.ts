import type { ReadOptions } from '../util/abort.js'
import { seekSource } from './seek.js'
import { clampLength, type ByteSource, type Placed, type SourceReadOptions, type Whence } from './source.js'

/** The bytes [start, start + size) of another source: a member of a tar. */
export class SliceSource implements ByteSource {
  readonly size: number
  readonly #source: ByteSource
  readonly #start: number

  constructor(source: ByteSource, start: number, size: number) {
    this.#source = source
    this.#start = start
    this.size = size
  }

  get placed(): Placed | undefined {
    const { placed } = this.#source
    return placed === undefined ? undefined : { space: placed.space, offset: placed.offset + this.#start }
  }

  async read(offset: number, length: number, options?: SourceReadOptions): Promise<Buffer> {
    return this.#source.read(this.#start + offset, clampLength(this.size, offset, length), options)
  }

  peek(offset: number, length: number): readonly Buffer[] | undefined {
    return this.#source.peek?.(this.#start + offset, clampLength(this.size, offset, length))
  }

  async load(offset: number, length: number, options?: ReadOptions): Promise<void> {
    await this.#source.load?.(this.#start + offset, clampLength(this.size, offset, length), options)
  }

  async seek(whence: Whence, offset: number, end: number, options?: ReadOptions): Promise<number> {
    const last = Math.min(end, this.size)
    const start = this.#start
    return (await seekSource(this.#source, whence, start + offset, start + last, options)) - start
  }
}
