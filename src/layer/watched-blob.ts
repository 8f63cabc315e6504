import type { BlobSource, ReadIntoOptions } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'

/** So long without a byte is a failure, also of a read that goes on or was given up. */
const stalledMs = 3_000

/** A blob that remembers whether it could be read lately. */
export class WatchedBlob implements BlobSource {
  readonly #blob: BlobSource
  #failure: RegistryFsError | undefined
  /** Of each read that is under way, when its last byte came. */
  readonly #reads = new Set<{ lastAt: number }>()

  constructor(blob: BlobSource) {
    this.#blob = blob
  }

  /** Why the last read failed, or gets nothing; undefined after one that has got anything. */
  get failure(): RegistryFsError | undefined {
    for (const { lastAt } of this.#reads) this.#failure ??= failureSince(lastAt)
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
    const own = { lastAt: performance.now() }
    this.#reads.add(own)
    const onByte = (): void => {
      own.lastAt = performance.now()
      this.#failure = undefined
    }
    try {
      const result = await read(onByte)
      this.#failure = undefined
      return result
    } catch (error) {
      const isGivenUp = !(error instanceof RegistryFsError) || hasCode(error, 'ABORTED')
      if (!isGivenUp) this.#failure = error
      else this.#failure ??= failureSince(own.lastAt)
      throw error
    } finally {
      this.#reads.delete(own)
    }
  }
}

function failureSince(lastAt: number): RegistryFsError | undefined {
  if (performance.now() - lastAt < stalledMs) return undefined
  return new RegistryFsError('TIMEOUT', 'no byte of the blob came')
}
