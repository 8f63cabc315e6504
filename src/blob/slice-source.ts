import type { ReadOptions } from '../util/abort.js'
import { seekSource } from './seek.js'
import { clampLength, type ByteSource, type Follower, type SourceReadOptions, type Whence } from './source.js'

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

  follow(follower: Follower): () => void {
    const nothing = (): void => undefined
    return (
      this.#source.follow?.({
        passing: (offset, bytes) => {
          const from = Math.max(offset, this.#start)
          const end = Math.min(offset + bytes.length, this.#start + this.size)
          if (from < end) follower.passing(from - this.#start, bytes.subarray(from - offset, end - offset))
        },
        failed: () => {
          follower.failed()
        },
      }) ?? nothing
    )
  }

  async read(offset: number, length: number, options?: SourceReadOptions): Promise<Buffer> {
    return this.#source.read(this.#start + offset, clampLength(this.size, offset, length), options)
  }

  async seek(whence: Whence, offset: number, end: number, options?: ReadOptions): Promise<number> {
    const last = Math.min(end, this.size)
    const start = this.#start
    return (await seekSource(this.#source, whence, start + offset, start + last, options)) - start
  }
}
