import type { ReadIntoOptions } from '../blob/source.js'
import { abortError } from '../util/abort.js'

/** One readInto under way: what is wanted, and how much of it has come. */
export class PendingFill {
  readonly signal: AbortSignal
  readonly isPatient: boolean
  /** The registry was asked for the place of the blob anew: at most once for each read. */
  askedAgain = false
  readonly #offset: number
  readonly #target: Buffer
  readonly #onBytes: (bytes: number) => void
  readonly #onProgress: ((filledBytes: number) => void) | undefined
  #filled = 0

  constructor(
    offset: number,
    target: Buffer,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
    options: Pick<ReadIntoOptions, 'isPatient' | 'onProgress'>,
  ) {
    this.#offset = offset
    this.#target = target
    this.signal = signal
    this.#onBytes = onBytes
    this.#onProgress = options.onProgress
    this.isPatient = options.isPatient === true
  }

  /** In the blob, of the next byte wanted. */
  get position(): number {
    return this.#offset + this.#filled
  }

  get filledBytes(): number {
    return this.#filled
  }

  get missingBytes(): number {
    return this.#target.length - this.#filled
  }

  get isDone(): boolean {
    return this.missingBytes === 0
  }

  /** Copies as much as fits and returns that. Throws once aborted: the target may be somebody else's by then. */
  put(chunk: Buffer): number {
    if (this.signal.aborted) throw abortError(this.signal)
    const used = Math.min(chunk.length, this.missingBytes)
    if (used === 0) return 0
    chunk.copy(this.#target, this.#filled, 0, used)
    this.#filled += used
    this.#onBytes(used)
    this.#onProgress?.(this.#filled)
    return used
  }

  /** Bytes that came but were not wanted. */
  countSkipped(bytes: number): void {
    if (bytes > 0) this.#onBytes(bytes)
  }
}
