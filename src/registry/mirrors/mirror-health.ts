import { LRUCache } from 'lru-cache'
import { describeError, hasCode, type RegistryFsError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'

/** A mirror that has failed is not asked for so long. */
const asideMs = 60_000
const maxAsideMs = 10 * 60_000
const maxMirrors = 1000

/** Which mirrors have failed lately. */
export class MirrorHealth {
  readonly #log: Logger
  readonly #asideUntil = new LRUCache<string, number>({ max: maxMirrors })

  constructor(log: Logger) {
    this.#log = log
  }

  isAside(name: string): boolean {
    return performance.now() < (this.#asideUntil.get(name) ?? 0)
  }

  /** What a mirror does not have, or does not give to us, says nothing against it. */
  report(name: string, error: unknown): void {
    const reason = describeError(error)
    if (hasCode(error, 'NOT_FOUND', 'GONE', 'UNAUTHORIZED', 'DENIED', 'UNSUPPORTED', 'LIMIT')) {
      this.#log.debug({ mirror: name, reason }, 'the mirror does not have it, asking the next')
      return
    }
    const asked = (error as Partial<RegistryFsError>).retryAfterMs ?? 0
    const wasAside = this.isAside(name)
    this.#asideUntil.set(name, performance.now() + Math.min(maxAsideMs, Math.max(asideMs, asked)))
    if (!wasAside)
      this.#log.warn({ mirror: name, reason }, 'the mirror has failed and is set aside for a time')
  }
}
