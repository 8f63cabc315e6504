import type { FuseChannel } from '../native.js'

/**
 * Reads whose spans are being inflated. The thread that inflates the last of them answers the read without waiting for us;
 * who wants to answer one here asks first whether that has happened.
 */
export class ParkedReads {
  readonly #channel: Pick<FuseChannel, 'park' | 'takeBack'>
  readonly #parked = new Set<number>()

  constructor(channel: Pick<FuseChannel, 'park' | 'takeBack'>) {
    this.#channel = channel
  }

  park(unique: number, handle: number, offset: number, length: number): void {
    if (this.#channel.park(unique, handle, offset, length)) this.#parked.add(unique)
  }

  /** Whether somebody answered the request; if not, nobody but us does any more. To be asked once, or again when it was not. */
  isAnswered(unique: number): boolean {
    return this.#parked.delete(unique) && !this.#channel.takeBack(unique)
  }
}
