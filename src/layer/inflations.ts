/**
 * What was inflated of a layer in this mount, whoever did it, and how much of it anew: a byte for each of its spans remembers
 * which. A first pass inflates each span once; who reads one that it did not keep inflates that again.
 */
export class Inflations {
  /** 1 for a span that was inflated. */
  #seen = new Uint8Array(8)
  /** Spans. */
  total = 0
  /** Those among them that had been inflated before. */
  repeated = 0

  /** `index`: of the span among the layer's. */
  add(index: number): void {
    if (index >= this.#seen.length) {
      const longer = new Uint8Array(Math.max(index + 1, 2 * this.#seen.length))
      longer.set(this.#seen)
      this.#seen = longer
    }
    this.total++
    if (this.#seen[index] === 1) this.repeated++
    this.#seen[index] = 1
  }
}
