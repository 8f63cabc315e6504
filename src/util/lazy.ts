/** A memoised promise: `make` runs at the first get; a failure resets it, so that the next get tries again. */
export class Lazy<T> {
  readonly #make: () => Promise<T>
  #promise: Promise<T> | undefined

  constructor(make: () => Promise<T>) {
    this.#make = make
  }

  async get(): Promise<T> {
    this.#promise ??= this.#make().catch((reason: unknown) => {
      this.#promise = undefined
      throw reason
    })
    return this.#promise
  }
}
