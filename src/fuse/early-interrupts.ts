/** Most interrupts that find no request come after it was answered: those are forgotten when so many others have come. */
const remembered = 64

/** Requests that are not here yet, but which nobody waits for any more. The kernel never uses a number twice. */
export class EarlyInterrupts {
  readonly #uniques = new Set<number>()

  add(unique: number): void {
    this.#uniques.add(unique)
    if (this.#uniques.size > remembered) this.#uniques.delete(this.#uniques.values().next().value ?? unique)
  }

  /** Whether that request was given up already. */
  take(unique: number): boolean {
    return this.#uniques.delete(unique)
  }
}
