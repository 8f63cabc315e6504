/** What the memory budget does for decoders. */
export interface DecoderBudget {
  /** Whether so much more can be reserved; those who can do without theirs have given it up for that where it helps. */
  makeRoom(bytes: number): boolean
  reserve(bytes: number): () => void
}

interface Waiting {
  readonly bytes: number
  readonly enter: (giveBack: () => void) => void
}

/** Lets as many decoders work at a time as the memory budget has room for, one at least; the others wait in order. */
export class DecoderRoom {
  readonly #budget: DecoderBudget
  readonly #waiting: Waiting[] = []
  #working = 0
  #isDue = false

  constructor(budget: DecoderBudget) {
    this.#budget = budget
  }

  /** Resolves to how to give back the bytes, which are reserved; `leave` is to be called besides. */
  async enter(bytes: number): Promise<() => void> {
    return new Promise((resolve) => {
      this.#waiting.push({ bytes, enter: resolve })
      this.#letIn()
    })
  }

  /** Again, with memory that it still has. */
  goOn(): void {
    this.#working++
  }

  leave(): void {
    this.#working--
    this.changed()
  }

  /** There may be more room. */
  changed(): void {
    if (this.#waiting.length === 0 || this.#isDue) return
    this.#isDue = true
    // Not in the middle of a change.
    queueMicrotask(() => {
      this.#isDue = false
      this.#letIn()
    })
  }

  #letIn(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#budget.makeRoom(next.bytes) && this.#working > 0) return
      this.#waiting.shift()
      this.#working++
      next.enter(this.#budget.reserve(next.bytes))
    }
  }
}
