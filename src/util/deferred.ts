/** A promise with its resolve and reject outside (Promise.withResolvers, which Node 20 does not have). */
export class Deferred<T> {
  readonly promise: Promise<T>
  resolve!: (value: T) => void
  reject!: (reason: unknown) => void

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Whoever cares awaits the promise; a rejection nobody waits for yet is no crash.
    this.promise.catch(() => undefined)
  }
}
