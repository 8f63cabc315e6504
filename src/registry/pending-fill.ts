import type { ReadIntoOptions } from '../blob/source.js'
import { abortError } from '../util/abort.js'

/** No answer, a refusal (an expired URL), or other bytes than asked for. */
export type AskedAgain = 'unreachable' | 'stale' | 'wrong'

/** Once for each URL that is refused; the second may be one that another read has got, and that has expired meanwhile. */
const mostAskedAgain: Readonly<Record<AskedAgain, number>> = { unreachable: 1, stale: 2, wrong: 1 }

/** One readInto under way: what is wanted, and how much of it has come. */
export class PendingFill {
  readonly signal: AbortSignal
  readonly isPatient: boolean
  /** Why and how often the registry was asked for the place of the blob anew, since a place was good. */
  readonly #askedAgain = new Map<AskedAgain, number>()
  readonly #offset: number
  readonly #target: Buffer
  readonly #onBytes: (bytes: number) => void
  readonly #options: Omit<ReadIntoOptions, 'signal'>
  #filled = 0

  constructor(
    offset: number,
    target: Buffer,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
    options: Omit<ReadIntoOptions, 'signal'>,
  ) {
    this.#offset = offset
    this.#target = target
    this.signal = signal
    this.#onBytes = onBytes
    this.#options = options
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

  /** Whether the registry may be asked for the place of the blob once more, and counts that it was. */
  askAgain(why: AskedAgain): boolean {
    const count = this.#askedAgain.get(why) ?? 0
    this.#askedAgain.set(why, count + 1)
    return count < mostAskedAgain[why]
  }

  /** A place answers as it should; if its bytes break off again and again, that is counted elsewhere. */
  foundPlace(): void {
    this.#askedAgain.clear()
  }

  /** Copies as much as fits and returns that. Throws once aborted: the target may be somebody else's by then. */
  put(chunk: Buffer): number {
    if (this.signal.aborted) throw abortError(this.signal)
    const used = Math.min(chunk.length, this.missingBytes)
    if (used === 0) return 0
    chunk.copy(this.#target, this.#filled, 0, used)
    this.#filled += used
    this.#onBytes(used)
    this.#options.onProgress?.(this.#filled)
    return used
  }

  /** Bytes of the blob at `offset` that came on the way to those that are wanted. */
  pass(offset: number, bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#onBytes(bytes.length)
    this.#options.onPassing?.(offset, bytes)
  }
}
