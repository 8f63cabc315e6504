import type { BlobSource, ReadIntoOptions } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'

/** Of whoever gave up: so long without a byte is the server's doing. */
const stalledMs = 3_000

/** A blob that remembers whether it could be read lately. */
export class WatchedBlob implements BlobSource {
  readonly #blob: BlobSource
  #failure: RegistryFsError | undefined

  constructor(blob: BlobSource) {
    this.#blob = blob
  }

  /** Why the last read failed; undefined after one that has got anything. */
  get failure(): RegistryFsError | undefined {
    return this.#failure
  }

  get size(): number {
    return this.#blob.size
  }

  get isLocal(): boolean {
    return this.#blob.isLocal === true
  }

  get isGone(): boolean {
    return this.#blob.isGone === true
  }

  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Buffer> {
    return this.#watch(async () => this.#blob.read(offset, length, options))
  }

  async readInto(offset: number, target: Buffer, options: ReadIntoOptions = {}): Promise<void> {
    return this.#watch(async (onByte) =>
      this.#blob.readInto(offset, target, {
        ...options,
        onProgress: (filledBytes) => {
          onByte()
          options.onProgress?.(filledBytes)
        },
      }),
    )
  }

  distrust(offset: number, length: number): boolean {
    return this.#blob.distrust?.(offset, length) === true
  }

  async #watch<T>(read: (onByte: () => void) => Promise<T>): Promise<T> {
    let lastAt = performance.now()
    const onByte = (): void => {
      lastAt = performance.now()
      this.#failure = undefined
    }
    try {
      const result = await read(onByte)
      this.#failure = undefined
      return result
    } catch (error) {
      if (!(error instanceof RegistryFsError) || hasCode(error, 'ABORTED')) {
        if (performance.now() - lastAt > stalledMs)
          this.#failure = new RegistryFsError('TIMEOUT', 'no byte of the blob came')
      } else this.#failure = error
      throw error
    }
  }
}
