import { LRUCache } from 'lru-cache'
import type { Logger } from '../util/log.js'

/** Harbor's and distribution's pull-through caches know ranges as soon as they have the blob. */
const believedMs = 300_000

/** Hosts that answered a range with the whole blob, for a time, and the bodies of such answers that nobody reads just now. */
export class RangelessHosts {
  readonly #log: Logger
  readonly #mostResting: number
  /** By host; each closes the body and so frees its connection. The one that rests longest is the first. */
  readonly #resting = new Map<string, Set<() => void>>()
  readonly #hosts = new LRUCache<string, true>({ max: 1000, ttl: believedMs })

  /** `mostResting`, of a host's connections: the others are for whoever needs one now. */
  constructor(log: Logger, mostResting: number) {
    this.#log = log
    this.#mostResting = mostResting
  }

  get size(): number {
    return this.#hosts.size
  }

  has(host: string): boolean {
    return this.#hosts.has(host)
  }

  add(host: string): void {
    if (!this.#hosts.has(host))
      this.#log.warn({ host }, 'the registry ignores ranges: reads there fetch a layer from its start')
    this.#hosts.set(host, true)
  }

  /** It answered a range with a range. */
  remove(host: string): void {
    this.#hosts.delete(host)
  }

  /** Nobody reads the body until the result is called; meanwhile it may be closed. */
  rest(host: string, close: () => void): () => void {
    const resting = this.#resting.get(host) ?? new Set()
    this.#resting.set(host, resting)
    resting.add(close)
    if (resting.size > this.#mostResting) resting.values().next().value?.()
    return () => {
      resting.delete(close)
      if (resting.size === 0) this.#resting.delete(host)
    }
  }
}
