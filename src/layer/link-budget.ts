/** Where hard links lead and what they are called, 2000 components each at worst. */
const maximumBytes = 128 << 20

/** What hard links keep beside their members. */
export class LinkBudget {
  #bytes = 0

  canKeep(target: readonly string[], path: string): boolean {
    for (const component of target) this.#bytes += component.length + 16
    this.#bytes += path.length + 100
    return this.#bytes <= maximumBytes
  }
}
