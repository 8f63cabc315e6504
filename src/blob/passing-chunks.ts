import { chunkBytes, chunkLength } from './chunk-cache.js'

export interface PassingChunksOptions {
  /** Of the blob. */
  readonly size: number
  readonly isWanted: (index: number) => boolean
  /** Each whole chunk that was wanted; the buffer is the receiver's. */
  readonly onChunk: (index: number, chunk: Buffer) => void
}

/** Makes whole chunks of bytes that come by in pieces. A chunk of which the start was missed is left out. */
export class PassingChunks {
  readonly #options: PassingChunksOptions
  #index = -1
  #chunk: Buffer | undefined
  #filled = 0

  constructor(options: PassingChunksOptions) {
    this.#options = options
  }

  add(offset: number, bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const index = Math.floor((offset + at) / chunkBytes)
      const within = offset + at - index * chunkBytes
      const length = Math.min(bytes.length - at, chunkBytes - within)
      this.#take(index, within, bytes.subarray(at, at + length))
      at += length
    }
  }

  #take(index: number, within: number, bytes: Buffer): void {
    const { size, isWanted, onChunk } = this.#options
    if (within === 0) {
      this.#index = index
      this.#filled = 0
      this.#chunk = isWanted(index) ? Buffer.allocUnsafeSlow(chunkLength(size, index)) : undefined
    }
    if (this.#chunk === undefined || index !== this.#index || within !== this.#filled) {
      this.#chunk = undefined
      return
    }
    this.#filled += bytes.copy(this.#chunk, within)
    if (this.#filled < this.#chunk.length) return
    const whole = this.#chunk
    this.#chunk = undefined
    onChunk(index, whole)
  }
}
