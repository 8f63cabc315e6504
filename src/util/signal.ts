/** Something changed: everyone who waits looks again. */
export class Signal {
  #waiters: (() => void)[] = []

  notify(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  async wait(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }
}
