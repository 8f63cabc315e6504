import { hasCode } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import type { HttpRequest, HttpResponse, Transport } from '../transport.js'

/**
 * For hosts that the user called insecure: https first (without verification), and plain http for good when no https
 * answers there.
 */
export class InsecureHttpTransport implements Transport {
  readonly #inner: Transport
  readonly #isInsecure: (host: string) => boolean
  readonly #log: Logger
  readonly #plain = new Set<string>()
  readonly #secure = new Set<string>()

  constructor(inner: Transport, isInsecure: (host: string) => boolean, log: Logger) {
    this.#inner = inner
    this.#isInsecure = isInsecure
    this.#log = log
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const { host, protocol } = request.url
    if (protocol !== 'https:' || !this.#isInsecure(host)) return this.#inner.send(request)
    if (this.#plain.has(host)) return this.#inner.send(asPlainHttp(request))
    try {
      const response = await this.#inner.send(request)
      this.#secure.add(host)
      return response
    } catch (error) {
      const noHttps = hasCode(error, 'UNAVAILABLE', 'PROTOCOL') && !this.#secure.has(host)
      if (request.signal.aborted || !noHttps) throw error
    }
    const response = await this.#inner.send(asPlainHttp(request))
    this.#plain.add(host)
    this.#log.warn({ host }, 'no https there: using plain http, as it is configured as insecure')
    return response
  }
}

function asPlainHttp(request: HttpRequest): HttpRequest {
  const url = new URL(request.url.href)
  const port = url.port
  url.protocol = 'http:'
  url.port = port
  return { ...request, url }
}
