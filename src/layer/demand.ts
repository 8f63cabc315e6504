/** After this long without a request or an open handle nobody needs a layer: scripts pause between two commands. */
const pauseMs = 2_000

/** Whether anybody needs a layer: what waits for its images, or has something of them open, holds it. */
export class Demand {
  readonly #pauseMs: number
  #holds = 0
  #lastAt = Number.NEGATIVE_INFINITY

  constructor(pauseMsOfTest = pauseMs) {
    this.#pauseMs = pauseMsOfTest
  }

  hold(): void {
    this.#holds++
  }

  release(): void {
    this.#holds--
    this.#lastAt = performance.now()
  }

  get isThere(): boolean {
    return this.#holds > 0 || performance.now() - this.#lastAt < this.#pauseMs
  }
}
