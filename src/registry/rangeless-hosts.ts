import { LRUCache } from 'lru-cache'
import type { Logger } from '../util/log.js'

/** Harbor's and distribution's pull-through caches know ranges as soon as they have the blob. */
const believedMs = 300_000

/** Hosts that answered a range with the whole blob, for a time. */
export class RangelessHosts {
  readonly #log: Logger
  readonly #hosts = new LRUCache<string, true>({ max: 1000, ttl: believedMs })

  constructor(log: Logger) {
    this.#log = log
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
}
