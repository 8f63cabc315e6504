import { sleep } from '../../util/abort.js'
import { describeError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { isTransient } from '../network-error.js'
import { parseRetryAfter } from '../retry-after.js'
import { isRetriableStatus } from '../status-check.js'
import { headerOf, type HttpRequest, type HttpResponse, type Transport } from '../transport.js'

export interface RetryOptions {
  /** Requests in all, the first included. */
  readonly attempts: number
  /** No new attempt starts later than this after the first; a Retry-After beyond it is answered at once. */
  readonly totalMs: number
  /** The wait before the second attempt; doubles each time. */
  readonly baseMs: number
  readonly maxMs: number
  /** In [0, 1): each wait is between half and all of its length. */
  readonly random?: () => number
}

/** Repeats what may work in a moment: 429, 5xx but 501, connections that fail or stall. Nothing else, ever. */
export class RetryTransport implements Transport {
  readonly #inner: Transport
  readonly #options: RetryOptions
  readonly #log: Logger
  readonly #onRetry: () => void

  constructor(inner: Transport, options: RetryOptions, log: Logger, onRetry: () => void) {
    this.#inner = inner
    this.#options = options
    this.#log = log
    this.#onRetry = onRetry
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const giveUpAt = performance.now() + this.#options.totalMs
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(request)
      const response = 'response' in outcome ? outcome.response : undefined
      const asked = response === undefined ? undefined : parseRetryAfter(headerOf(response, 'retry-after'))
      const waitMs = Math.max(asked ?? 0, this.#backoffMs(attempt))
      const again =
        (response === undefined || isRetriableStatus(response.status)) &&
        attempt < this.#options.attempts &&
        performance.now() + waitMs <= giveUpAt
      if (!again) {
        if (response !== undefined) return response
        throw outcome.error
      }
      response?.body.discard()
      const reason =
        response === undefined ? describeError(outcome.error) : `status ${String(response.status)}`
      this.#log.debug({ what: request.what, attempt, waitMs: Math.round(waitMs), reason }, 'retry')
      await sleep(waitMs, request.signal)
      this.#onRetry()
    }
  }

  /** Throws only what is not worth a retry. */
  async #attempt(
    request: HttpRequest,
  ): Promise<{ response: HttpResponse; error?: undefined } | { error: unknown }> {
    try {
      return { response: await this.#inner.send(request) }
    } catch (error) {
      if (request.signal.aborted || !isTransient(error)) throw error
      return { error }
    }
  }

  #backoffMs(attempt: number): number {
    const { baseMs, maxMs, random = Math.random } = this.#options
    return Math.min(maxMs, baseMs * 2 ** (attempt - 1)) * (0.5 + random() / 2)
  }
}
