import { RegistryFsError } from '../../util/errors.js'
import { redactUrl } from '../redact.js'
import { headerOf, type HttpRequest, type HttpResponse, type Transport } from '../transport.js'

/** containers/image and curl allow more; no registry is known to need more than two. */
const maxHops = 5
const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308]

/**
 * Follows redirects by hand, with Range and Accept kept and authorization dropped as soon as scheme, host or port
 * change. From https to http only to a host that the user called insecure.
 */
export class RedirectTransport implements Transport {
  readonly #inner: Transport
  readonly #isInsecure: (host: string) => boolean

  constructor(inner: Transport, isInsecure: (host: string) => boolean) {
    this.#inner = inner
    this.#isInsecure = isInsecure
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    let current = request
    for (let hops = 0; ; hops++) {
      const response = await this.#inner.send(current)
      if (!redirectStatuses.includes(response.status))
        return hops === 0 ? response : { ...response, redirected: true }
      response.body.discard()
      if (hops === maxHops) throw this.#refused(request, `more than ${String(maxHops)} redirects`)
      const url = this.#target(response, request)
      const authorization = url.origin === response.url.origin ? current.authorization : undefined
      current = { ...current, url, authorization }
    }
  }

  #target(response: HttpResponse, request: HttpRequest): URL {
    const location = headerOf(response, 'location')
    if (location === undefined || !URL.canParse(location, response.url.href)) {
      throw this.#refused(request, `a redirect (${String(response.status)}) that leads nowhere`)
    }
    const url = new URL(location, response.url.href)
    if (url.protocol !== 'https:' && url.protocol !== 'http:') {
      throw this.#refused(request, `a redirect to ${url.protocol}`)
    }
    if (response.url.protocol === 'https:' && url.protocol === 'http:' && !this.#isInsecure(url.host)) {
      throw this.#refused(request, `a redirect from https to plain ${redactUrl(url)}`)
    }
    url.username = ''
    url.password = ''
    return url
  }

  #refused(request: HttpRequest, reason: string): RegistryFsError {
    return new RegistryFsError('PROTOCOL', `${request.what}: ${reason}`)
  }
}
