/** Objects by number for as long as somebody else holds them. */
export class WeakValues<T extends object> {
  readonly #values = new Map<number, WeakRef<T>>()
  readonly #gone = new FinalizationRegistry<number>((key) => {
    // Another one may have come in its place.
    if (this.#values.get(key)?.deref() === undefined) this.#values.delete(key)
  })

  get(key: number): T | undefined {
    return this.#values.get(key)?.deref()
  }

  set(key: number, value: T): void {
    this.#values.set(key, new WeakRef(value))
    this.#gone.register(value, key)
  }
}
