import { RegistryFsError } from '../../util/errors.js'
import { isConnectionLost, systemCode } from '../network-error.js'
import { isVerificationFailure } from '../tls/tls-error.js'
import type { HttpRequest, HttpResponse, Transport } from '../transport.js'

/**
 * For hosts that are spoken to in plain http because they are this machine: one that does not understand that is asked by
 * https, verified as any other. What is wrong with its certificate is then the error, not that it has no http.
 */
export class LoopbackHttpsTransport implements Transport {
  readonly #inner: Transport
  readonly #isLoopback: (host: string) => boolean
  readonly #plain = new Set<string>()
  readonly #secure = new Set<string>()

  constructor(inner: Transport, isLoopback: (host: string) => boolean) {
    this.#inner = inner
    this.#isLoopback = isLoopback
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const { host, protocol } = request.url
    if (protocol !== 'http:' || !this.#isLoopback(host) || this.#plain.has(host))
      return this.#inner.send(request)
    if (this.#secure.has(host)) return this.#inner.send(asHttps(request))
    const plain = await this.#inner.send(request).catch((error: unknown) => {
      if (request.signal.aborted || !isConnectionLost(error)) throw error
      return error as RegistryFsError
    })
    if (!(plain instanceof RegistryFsError) && plain.status !== 400) {
      this.#plain.add(host)
      return plain
    }
    const secure = await this.#inner.send(asHttps(request)).catch((error: unknown) => {
      if (request.signal.aborted || isUnverified(error)) {
        if (!(plain instanceof RegistryFsError)) plain.body.discard()
        throw error
      }
      return undefined
    })
    if (secure === undefined) {
      if (plain instanceof RegistryFsError) throw plain
      return plain
    }
    this.#secure.add(host)
    if (!(plain instanceof RegistryFsError)) plain.body.discard()
    return secure
  }
}

function isUnverified(error: unknown): boolean {
  return error instanceof RegistryFsError && isVerificationFailure(systemCode(error.cause))
}

function asHttps(request: HttpRequest): HttpRequest {
  const url = new URL(request.url.href)
  const port = url.port === '' ? '80' : url.port
  url.protocol = 'https:'
  url.port = port
  return { ...request, url }
}
