import { Agent } from 'undici'
import { RegistryFsError } from '../util/errors.js'
import { Exchange } from './exchange.js'
import { networkError } from './network-error.js'
import type { HttpRequest, HttpResponse, Transport } from './transport.js'

export interface UndiciTransportOptions {
  readonly userAgent: string
  /** A host that must be reached without checking its certificate. */
  readonly isUnverified: (host: string) => boolean
  readonly socketsPerHost: number
  readonly connectTimeoutMs: number
  /** No byte of an answer for so long ends the request with TIMEOUT. */
  readonly stallMs: number
  /** Called as each request goes out, also when undici repeats one on a fresh socket. */
  readonly onSent: (request: HttpRequest) => void
}

/** Owns the sockets. Follows no redirect, decodes nothing, retries nothing. */
export class UndiciTransport implements Transport {
  readonly #options: UndiciTransportOptions
  readonly #verified: Agent
  readonly #unverified: Agent
  #closed = false

  constructor(options: UndiciTransportOptions) {
    this.#options = options
    this.#verified = this.#makeAgent(true)
    this.#unverified = this.#makeAgent(false)
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    if (this.#closed) throw new RegistryFsError('ABORTED', `${request.what}: the registry client is closed`)
    const { url } = request
    const exchange = new Exchange(request, this.#options.stallMs, () => {
      this.#options.onSent(request)
    })
    if (request.signal.aborted) return exchange.response
    const agent = this.#options.isUnverified(url.host) ? this.#unverified : this.#verified
    try {
      agent.dispatch(
        {
          origin: url.origin,
          path: `${url.pathname}${url.search}`,
          method: request.method,
          body: request.body ?? null,
          // Compressed transfer would change what ranges and digests are about.
          headers: {
            'user-agent': this.#options.userAgent,
            'accept-encoding': 'identity',
            ...request.headers,
          },
        },
        exchange,
      )
    } catch (error) {
      throw networkError(request.what, url, error)
    }
    return exchange.response
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([this.#verified.destroy(), this.#unverified.destroy()])
  }

  #makeAgent(rejectUnauthorized: boolean): Agent {
    return new Agent({
      connections: this.#options.socketsPerHost,
      allowH2: false,
      // Ours in Exchange run only while somebody waits, and to the millisecond; undici's tick every half second.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 30_000,
      connect: { timeout: this.#options.connectTimeoutMs, rejectUnauthorized },
    })
  }
}
