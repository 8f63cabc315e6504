import { abortable, type ReadOptions } from './abort.js'

/**
 * One running piece of work per key; whoever asks meanwhile waits for the same one. The work itself is not tied to
 * any waiter's signal: a waiter that gives up leaves it to the others.
 */
export class SingleFlight<K, V> {
  readonly #running = new Map<K, Promise<V>>()

  async run(key: K, work: () => Promise<V>, options: ReadOptions = {}): Promise<V> {
    let flight = this.#running.get(key)
    if (flight === undefined) {
      flight = work().finally(() => this.#running.delete(key))
      flight.catch(() => undefined)
      this.#running.set(key, flight)
    }
    return abortable(flight, options.signal)
  }

  get size(): number {
    return this.#running.size
  }
}
