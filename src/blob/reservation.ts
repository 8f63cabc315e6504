import type { MemoryCache } from './memory-cache.js'

/** What somebody holds of the memory budget beside the cache, as it grows and shrinks. */
export class Reservation {
  readonly #memory: MemoryCache
  #bytes = 0
  #giveBack: (() => void) | undefined
  /** As a decoder, of which the budget bounds how many work. */
  #isWorking = false

  constructor(memory: MemoryCache) {
    this.#memory = memory
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Of a decoder that is about to work: waits for room. Ends with `idle` or `set(0)`. */
  async enter(bytes: number): Promise<void> {
    this.set(0)
    this.#giveBack = await this.#memory.decoders.enter(bytes)
    this.#bytes = bytes
    this.#isWorking = true
  }

  set(bytes: number): void {
    if (bytes === this.#bytes && bytes !== 0) return
    this.#giveBack?.()
    this.#bytes = bytes
    this.#giveBack = bytes === 0 ? undefined : this.#memory.reserve(bytes)
    if (bytes === 0) this.#leave()
  }

  /** `giveUp` is called when the budget gets short, until the next call of any of these; it is to `set(0)`. */
  idle(giveUp: () => void): void {
    this.#giveBack?.()
    this.#giveBack = this.#memory.reserve(this.#bytes, giveUp)
    this.#leave()
  }

  /** It is needed again. */
  goOn(): void {
    this.#giveBack?.()
    this.#giveBack = this.#memory.reserve(this.#bytes)
    if (!this.#isWorking) this.#memory.decoders.goOn()
    this.#isWorking = true
  }

  #leave(): void {
    if (this.#isWorking) this.#memory.decoders.leave()
    this.#isWorking = false
  }
}
