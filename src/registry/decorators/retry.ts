import { LRUCache } from 'lru-cache'
import { sleep } from '../../util/abort.js'
import { describeError, RegistryFsError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { isTransient, isUnreachable } from '../network-error.js'
import { parseRetryAfter } from '../retry-after.js'
import type { RetryBudget } from '../retry-budget.js'
import { isRetriableStatus } from '../status-check.js'
import { headerOf, type HttpRequest, type HttpResponse, type Transport } from '../transport.js'

export interface RetryOptions {
  readonly budgetOf: (request: HttpRequest) => RetryBudget
  readonly log: Logger
  readonly onRetry: () => void
  /** In [0, 1): each wait is between half and all of its length. */
  readonly random?: () => number
}

type Outcome = { readonly response: HttpResponse } | { readonly error: unknown }

/** A host that failed a whole budget is asked for names once only for so long: a path has many, and each would wait. */
const awayMs = 2_000
/** Longer than this no Retry-After keeps requests from going out that nobody has tried: registries come back. */
const longestClosedMs = 60_000
/** A flaky registry is told of once in so long. */
const tellAgainMs = 60_000
const rememberedHosts = 1000

/**
 * Repeats what may work in a moment: 429, 5xx but 501, connections that fail or stall. Nothing else, ever. How often is a
 * question of who waits (retry-budget.ts). A Retry-After counts for all requests of that kind to the host.
 */
export class RetryTransport implements Transport {
  readonly #inner: Transport
  readonly #options: RetryOptions
  /** By origin, until when it is believed to be away. */
  readonly #away = new LRUCache<string, number>({ max: rememberedHosts })
  /** By origin, what was told lately. */
  readonly #survived = new LRUCache<string, true>({ max: rememberedHosts, ttl: tellAgainMs })
  /** By origin and kind: Docker Hub limits manifests, and its blobs are as good as ever. */
  readonly #closed = new LRUCache<string, { readonly until: number; readonly status: number }>({
    max: rememberedHosts,
  })

  constructor(inner: Transport, options: RetryOptions) {
    this.#inner = inner
    this.#options = options
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const budget = this.#options.budgetOf(request)
    const { origin } = request.url
    const started = performance.now()
    // Whoever reads an open file has a budget that outlives a restart, and is owed it.
    const isName = request.isPatient !== true && request.kind !== 'blob'
    const wasAway = isName && (this.#away.get(origin) ?? 0) > started
    let trouble: string | undefined
    for (let attempt = 1; ; attempt++) {
      await this.#waitUntilOpen(request, budget)
      const outcome = await this.#attempt(request)
      const isAway = 'error' in outcome && isUnreachable(outcome.error)
      const waitMs = Math.max(this.#retryAfter(request, outcome), this.#backoffMs(attempt, budget))
      const limitMs = isAway ? budget.unreachableMs : budget.totalMs
      const hasFailed = 'error' in outcome || isRetriableStatus(outcome.response.status)
      const again =
        hasFailed &&
        !wasAway &&
        attempt < budget.attempts &&
        waitMs <= budget.longestWaitMs &&
        performance.now() + waitMs - started <= limitMs
      if (!again) {
        if (hasFailed) this.#away.set(origin, performance.now() + awayMs)
        else this.#away.delete(origin)
        if ('error' in outcome) throw outcome.error
        if (trouble !== undefined && !hasFailed) this.#tellSurvived(request, trouble, attempt, started)
        return outcome.response
      }
      if ('response' in outcome) outcome.response.body.discard()
      trouble =
        'error' in outcome ? describeError(outcome.error) : `status ${String(outcome.response.status)}`
      this.#options.log.debug(
        { what: request.what, attempt, waitMs: Math.round(waitMs), reason: trouble },
        'retry',
      )
      await sleep(waitMs, request.signal)
      this.#options.onRetry()
    }
  }

  #tellSurvived(request: HttpRequest, trouble: string, attempts: number, started: number): void {
    const { origin, host } = request.url
    if (this.#survived.has(origin)) return
    this.#survived.set(origin, true)
    const ms = Math.round(performance.now() - started)
    this.#options.log.info({ host, attempts, ms, reason: trouble }, 'the registry answers again')
  }

  /** Throws only what is not worth a retry. */
  async #attempt(request: HttpRequest): Promise<Outcome> {
    try {
      return { response: await this.#inner.send(request) }
    } catch (error) {
      if (request.signal.aborted || !isTransient(error)) throw error
      return { error }
    }
  }

  /** What this answer asks for, and all others of its kind have to wait for as well. */
  #retryAfter(request: HttpRequest, outcome: Outcome): number {
    if ('error' in outcome) return 0
    const { status } = outcome.response
    if (!isRetriableStatus(status)) return 0
    const askedMs = parseRetryAfter(headerOf(outcome.response, 'retry-after')) ?? 0
    if (askedMs > 0) {
      const until = performance.now() + Math.min(askedMs, longestClosedMs)
      this.#closed.set(closedKey(request), { until, status })
    }
    return askedMs
  }

  async #waitUntilOpen(request: HttpRequest, budget: RetryBudget): Promise<void> {
    const key = closedKey(request)
    for (;;) {
      const closed = this.#closed.get(key)
      const leftMs = closed === undefined ? 0 : closed.until - performance.now()
      if (closed === undefined || leftMs <= 0) {
        this.#closed.delete(key)
        return
      }
      if (leftMs > budget.longestWaitMs) {
        const seconds = String(Math.ceil(leftMs / 1000))
        throw new RegistryFsError(
          closed.status === 429 ? 'RATE_LIMITED' : 'UNAVAILABLE',
          `${request.what}: ${request.url.host} wants no requests for another ${seconds} s (${String(closed.status)})`,
          { retryAfterMs: leftMs },
        )
      }
      await sleep(leftMs, request.signal)
    }
  }

  #backoffMs(attempt: number, { baseMs, maxMs }: RetryBudget): number {
    const { random = Math.random } = this.#options
    return Math.min(maxMs, baseMs * 2 ** (attempt - 1)) * (0.5 + random() / 2)
  }
}

function closedKey(request: HttpRequest): string {
  return `${request.url.origin} ${request.kind}`
}
