import { abortError, throwIfAborted } from './abort.js'

interface Waiting {
  readonly weight: number
  readonly enter: () => void
}

/** Work of at most `total` weight at a time, or one piece of any weight; the others wait in order. */
export class WeightedSemaphore {
  readonly #total: number
  #waiting: Waiting[] = []
  #weight = 0

  constructor(total: number) {
    this.#total = total
  }

  /** Whoever gives up before it begins is forgotten, and the work is not done. */
  async run<T>(weight: number, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    throwIfAborted(signal)
    if (this.#waiting.length > 0 || !this.#hasRoom(weight)) await this.#wait(weight, signal)
    else this.#weight += weight
    try {
      return await work()
    } finally {
      this.#weight -= weight
      this.#letIn()
    }
  }

  #hasRoom(weight: number): boolean {
    return this.#weight === 0 || this.#weight + weight <= this.#total
  }

  async #wait(weight: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting = this.#waiting.filter((one) => one !== waiting)
        reject(abortError(signal as AbortSignal))
        this.#letIn()
      }
      const waiting = {
        weight,
        enter: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      this.#waiting.push(waiting)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  #letIn(): void {
    for (
      let next = this.#waiting[0];
      next !== undefined && this.#hasRoom(next.weight);
      next = this.#waiting[0]
    ) {
      this.#waiting.shift()
      this.#weight += next.weight
      next.enter()
    }
  }
}
