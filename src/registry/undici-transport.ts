import { LRUCache } from 'lru-cache'
import type { Dispatcher } from 'undici'
import { describeError, RegistryFsError } from '../util/errors.js'
import { Exchange } from './exchange.js'
import { networkError } from './network-error.js'
import type { Proxy, ProxyRules } from './proxy.js'
import { onread, readingAtOnce } from './shared-read-buffer.js'
import type { Trusted, TrustStore } from './tls/trust-store.js'
import type { ConnectionSettings, HttpRequest, HttpResponse, Transport } from './transport.js'
import type * as undiciParts from './undici-parts.js'

export interface UndiciTransportOptions {
  readonly userAgent: string
  /** A host that must be reached without checking its certificate. */
  readonly isUnverified: (host: string) => boolean
  readonly trust: TrustStore
  readonly proxies: ProxyRules
  readonly socketsPerHost: number
  readonly connectTimeoutMs: number
  /** No byte of an answer for so long ends the request with TIMEOUT. */
  readonly stallMs: number
  /** Called as each request goes out, also when undici repeats one on a fresh socket. */
  readonly onSent: (request: HttpRequest) => void
}

/** Some storages redirect to a new host name each time: of the others, the least recently used is let go. */
const maxPools = 64
const keepAliveMs = 30_000

interface Route {
  readonly dispatcher: Dispatcher
  readonly proxy: Proxy | undefined
  /** The proxy is sent the request itself, rather than asked for a tunnel. */
  readonly forwards: boolean
}

/** Owns the sockets, a pool for each origin. Follows no redirect, decodes nothing, retries nothing. */
export class UndiciTransport implements Transport {
  readonly #options: UndiciTransportOptions
  readonly #routes = new LRUCache<string, Route>({
    max: maxPools,
    dispose: (route) => {
      // Requests under way come to their end.
      void route.dispatcher.close().catch(() => undefined)
    },
  })
  /** Loaded with the first request: a mount stands before. */
  #undici: typeof undiciParts | undefined
  #closed = false

  constructor(options: UndiciTransportOptions) {
    this.#options = options
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const undici = (this.#undici ??= await import('./undici-parts.js'))
    if (this.#closed) throw new RegistryFsError('ABORTED', `${request.what}: the registry client is closed`)
    const { url, connection } = request
    const settings = connection?.origin === url.origin ? connection : undefined
    const route = this.#routeTo(request, settings, undici)
    const onSent = (): void => {
      this.#options.onSent(request)
    }
    const exchange = new Exchange(request, this.#options.stallMs, onSent, route.proxy?.url)
    if (request.signal.aborted) return exchange.response
    const path = `${url.pathname}${url.search}`
    const headers = {
      'user-agent': this.#options.userAgent,
      // Compressed transfer would change what ranges and digests are about.
      'accept-encoding': 'identity',
      ...settings?.headers,
      ...request.headers,
    }
    try {
      route.dispatcher.dispatch(
        route.forwards
          ? {
              path: `${url.origin}${path}`,
              method: request.method,
              body: request.body ?? null,
              headers: { ...headers, host: url.host, ...proxyHeaders(route.proxy) },
            }
          : { origin: url.origin, path, method: request.method, body: request.body ?? null, headers },
        exchange,
      )
    } catch (error) {
      throw networkError(request.what, url, error, route.proxy?.url)
    }
    return exchange.response
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#routes.values()].map(async ({ dispatcher }) => dispatcher.destroy()))
  }

  #routeTo(
    request: HttpRequest,
    settings: ConnectionSettings | undefined,
    undici: typeof undiciParts,
  ): Route {
    const { url } = request
    const isUnverified = settings?.skipVerify === true || this.#options.isUnverified(url.host)
    try {
      const trusted =
        url.protocol === 'https:' ? this.#options.trust.trustedAt(url.host, settings) : undefined
      const key = `${url.origin} ${isUnverified ? 'unverified' : ''} ${settings?.id ?? ''} ${String(trusted?.version)}`
      const known = this.#routes.get(key)
      if (known !== undefined) return known
      const route = this.#makeRoute(url, isUnverified, settings, trusted, undici)
      this.#routes.set(key, route)
      return route
    } catch (error) {
      const message = `${request.what}: ${describeError(error)}`
      throw error instanceof RegistryFsError ? new RegistryFsError(error.code, message) : error
    }
  }

  #makeRoute(
    url: URL,
    isUnverified: boolean,
    settings: ConnectionSettings | undefined,
    trusted: Trusted | undefined,
    { buildConnector, Pool, ProxyAgent }: typeof undiciParts,
  ): Route {
    const proxy = this.#options.proxies.find(url)
    const timeout = settings?.connectTimeoutMs ?? this.#options.connectTimeoutMs
    const tls =
      trusted === undefined ? {} : { rejectUnauthorized: !isUnverified, secureContext: trusted.context }
    const pool = {
      connections: this.#options.socketsPerHost,
      allowH2: false,
      // Ours in Exchange run only while somebody waits, and to the millisecond; undici's tick every half second.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: keepAliveMs,
    }
    if (proxy === undefined) {
      const connect = readingAtOnce(buildConnector({ timeout, ...tls, onread }))
      const dispatcher = new Pool(url.origin, { ...pool, connect })
      return { dispatcher, proxy, forwards: false }
    }
    const proxyTls =
      proxy.url.protocol === 'https:'
        ? { secureContext: this.#options.trust.trustedAt(proxy.url.host, undefined).context }
        : {}
    if (url.protocol === 'http:') {
      // As all proxies take it; many allow tunnels to port 443 only.
      const dispatcher = new Pool(proxy.url.origin, { ...pool, connect: { timeout, ...proxyTls } })
      return { dispatcher, proxy, forwards: true }
    }
    const dispatcher = new ProxyAgent({
      ...pool,
      uri: proxy.url.href,
      ...(proxy.authorization === undefined ? {} : { token: proxy.authorization }),
      requestTls: { timeout, ...tls },
      proxyTls: { timeout, ...proxyTls },
      // A proxy that says nothing to CONNECT is like a host that does not answer connections.
      clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: 2 * timeout }),
    })
    return { dispatcher, proxy, forwards: false }
  }
}

function proxyHeaders(proxy: Proxy | undefined): Readonly<Record<string, string>> {
  return proxy?.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }
}
