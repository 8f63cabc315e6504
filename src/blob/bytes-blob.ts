import { clampLength, type BlobSource } from './source.js'

/** A blob that came with its descriptor. */
export class BytesBlob implements BlobSource {
  readonly size: number
  readonly isLocal = true
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.size = bytes.length
    this.#bytes = bytes
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return Promise.resolve(this.#bytes.subarray(offset, offset + clampLength(this.size, offset, length)))
  }

  async readInto(offset: number, target: Buffer): Promise<void> {
    this.#bytes.copy(target, 0, offset)
    return Promise.resolve()
  }
}
