import { clampLength, type BlobSource, type ReadIntoOptions } from '../../src/blob/source.js'
import { throwIfAborted } from '../../src/util/abort.js'

/** A blob in memory that counts what is asked of it and can fail on demand. */
export class MemoryBlob implements BlobSource {
  bytes: Buffer
  readonly ranges: { readonly offset: number; readonly length: number }[] = []
  /** Bytes that were really sent. */
  fetchedBytes = 0
  /** Called before each range is served; what it throws is the reader's. */
  before: (offset: number, length: number) => Promise<void> | void = () => undefined

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get size(): number {
    return this.bytes.length
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const target = Buffer.alloc(clampLength(this.size, offset, length))
    await this.readInto(offset, target)
    return target
  }

  async readInto(offset: number, target: Buffer, options: ReadIntoOptions = {}): Promise<void> {
    this.ranges.push({ offset, length: target.length })
    await this.before(offset, target.length)
    const step = 256 << 10
    for (let filled = 0; filled < target.length; filled += step) {
      throwIfAborted(options.signal)
      const end = Math.min(target.length, filled + step)
      this.bytes.copy(target, filled, offset + filled, offset + end)
      this.fetchedBytes += end - filled
      options.onProgress?.(end)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}
