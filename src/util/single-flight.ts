import { abortable, type ReadOptions } from './abort.js'

interface Flight<V> {
  promise: Promise<V>
  waiters: number
  /** Of work that wants to know when nobody waits for it any more. */
  abandoned: AbortController | undefined
}

/**
 * One running piece of work per key; whoever asks meanwhile waits for the same one. A waiter that gives up leaves it to
 * the others; when all have, work that has asked for `abandoned` is told, and who comes then begins anew.
 */
export class SingleFlight<K, V> {
  readonly #running = new Map<K, Flight<V>>()

  async run(
    key: K,
    work: (abandoned: () => AbortSignal) => Promise<V>,
    options: ReadOptions = {},
  ): Promise<V> {
    const flight = this.#running.get(key) ?? this.#start(key, work)
    flight.waiters++
    try {
      return await abortable(flight.promise, options.signal)
    } finally {
      if (--flight.waiters === 0 && flight.abandoned !== undefined) {
        this.#end(key, flight)
        flight.abandoned.abort()
      }
    }
  }

  get size(): number {
    return this.#running.size
  }

  #start(key: K, work: (abandoned: () => AbortSignal) => Promise<V>): Flight<V> {
    const flight: Flight<V> = { promise: undefined as never, waiters: 0, abandoned: undefined }
    flight.promise = work(() => (flight.abandoned ??= new AbortController()).signal).finally(() => {
      this.#end(key, flight)
    })
    flight.promise.catch(() => undefined)
    this.#running.set(key, flight)
    return flight
  }

  #end(key: K, flight: Flight<V>): void {
    if (this.#running.get(key) === flight) this.#running.delete(key)
  }
}
