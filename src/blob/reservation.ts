import type { MemoryCache } from './memory-cache.js'

/** What somebody holds of the memory budget beside the cache, as it grows and shrinks. */
export class Reservation {
  readonly #memory: MemoryCache
  #bytes = 0
  #giveBack: (() => void) | undefined

  constructor(memory: MemoryCache) {
    this.#memory = memory
  }

  get bytes(): number {
    return this.#bytes
  }

  set(bytes: number): void {
    if (bytes === this.#bytes && bytes !== 0) return
    this.#giveBack?.()
    this.#bytes = bytes
    this.#giveBack = bytes === 0 ? undefined : this.#memory.reserve(bytes)
  }

  /** `giveUp` is called when the budget gets short, until the next call of any of these; it is to `set(0)`. */
  idle(giveUp: () => void): void {
    this.#giveBack?.()
    this.#giveBack = this.#memory.reserve(this.#bytes, giveUp)
  }

  /** It is needed again. */
  busy(): void {
    this.#giveBack?.()
    this.#giveBack = this.#memory.reserve(this.#bytes)
  }
}
