/** At most `permits` pieces of work at a time; the others wait in order. */
export class Semaphore {
  #permits: number
  readonly #waiting: (() => void)[] = []

  constructor(permits: number) {
    this.#permits = permits
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#permits > 0) this.#permits--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#permits++
      else next()
    }
  }
}
