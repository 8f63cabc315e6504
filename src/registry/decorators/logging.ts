import { describeError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { redactUrl } from '../redact.js'
import type { HttpRequest, HttpResponse, Transport } from '../transport.js'

/** One debug line for each request that goes out. Headers are never logged: they hold tokens. */
export class LoggingTransport implements Transport {
  readonly #inner: Transport
  readonly #log: Logger

  constructor(inner: Transport, log: Logger) {
    this.#inner = inner
    this.#log = log
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const started = performance.now()
    const fields = { method: request.method, url: redactUrl(request.url), range: request.headers['range'] }
    try {
      const response = await this.#inner.send(request)
      this.#log.debug(
        { ...fields, status: response.status, ms: Math.round(performance.now() - started) },
        'request',
      )
      return response
    } catch (error) {
      const ms = Math.round(performance.now() - started)
      this.#log.debug({ ...fields, error: describeError(error), ms }, 'request failed')
      throw error
    }
  }
}
