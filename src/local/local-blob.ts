import { clampLength, type BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import { RegistryFsError } from '../util/errors.js'
import { Lazy } from '../util/lazy.js'
import type { FileRange } from './file-tree.js'

/** A blob in a file of this machine, or in an archive there; found when it is first read. */
export class LocalBlob implements BlobSource {
  readonly size: number
  readonly isLocal = true
  readonly #range: Lazy<FileRange>
  #found: FileRange | undefined
  #isGone = false

  /** `find`: undefined when the blob is not there. `place`: where it should be, for errors. */
  constructor(descriptor: Descriptor, place: string, find: () => Promise<FileRange | undefined>) {
    this.size = descriptor.size
    const { digest } = descriptor
    this.#range = new Lazy(async () => {
      const range = await find()
      if (range === undefined) {
        this.#isGone = true
        throw new RegistryFsError('GONE', `${place}: blob ${digest} is not there`)
      }
      if (range.size !== this.size) {
        const sizes = `${String(range.size)} bytes instead of ${String(this.size)}`
        throw new RegistryFsError('DIGEST_MISMATCH', `${place}: blob ${digest} has ${sizes}`)
      }
      this.#found = range
      return range
    })
  }

  get isGone(): boolean {
    return this.#isGone || this.#found?.file.isGone === true
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(clampLength(this.size, offset, length))
    await this.readInto(offset, target)
    return target
  }

  async readInto(offset: number, target: Buffer): Promise<void> {
    if (target.length === 0) return
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + target.length > this.size)
      throw new RegistryFsError('INVALID', `a read at ${String(offset)} beyond ${String(this.size)}`)
    const range = await this.#range.get()
    await range.file.readInto(range.offset + offset, target)
  }
}
