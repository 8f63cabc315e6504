import { hasCode } from '../util/errors.js'
import { checkEncoding } from './content-encoding.js'
import type { InsecureHosts } from './insecure-hosts.js'
import type { Lifetime } from './lifetime.js'
import type { Endpoint } from './mirrors/source.js'
import { isTransient } from './network-error.js'
import { readBody } from './read-body.js'
import { apiHost, type Repository } from './reference.js'
import { isStaleStatus } from './stale-status.js'
import { checkStatus } from './status-check.js'
import { headerOf, type HttpRequest, type HttpResponse, type Transport } from './transport.js'

export interface ApiRequest {
  readonly method?: 'GET' | 'HEAD'
  readonly host: string
  /** Below /v2/, with query. */
  readonly path: string
  readonly kind: HttpRequest['kind']
  readonly what: string
  /** For instance `repository:library/debian:pull`. */
  readonly scope: string
  readonly accept?: string
}

export interface ApiDocument {
  readonly bytes: Buffer
  readonly response: HttpResponse
}

export interface RegistryApiOptions {
  readonly transport: Transport
  readonly lifetime: Lifetime
  readonly insecureHosts: InsecureHosts
  /** Of a mirror: its API lies there, whatever host is named. */
  readonly endpoint?: Endpoint | undefined
  /** For one document, with retries. */
  readonly deadlineMs: number
}

/** A document whose body breaks off, or may have, is asked for again, so many times in all. */
const bodyAttempts = 3

export function pullScope(repository: Repository): string {
  return `repository:${repository.path}:pull`
}

/** Requests below /v2/ of a registry: URLs, deadlines, whole documents. */
export class RegistryApi {
  readonly transport: Transport
  readonly lifetime: Lifetime
  readonly #insecureHosts: InsecureHosts
  readonly #deadlineMs: number
  readonly #endpoint: Endpoint | undefined

  constructor(options: RegistryApiOptions) {
    const { transport, endpoint } = options
    this.#endpoint = endpoint
    this.transport =
      endpoint === undefined
        ? transport
        : { send: async (request) => transport.send({ ...request, connection: endpoint.connection }) }
    this.lifetime = options.lifetime
    this.#insecureHosts = options.insecureHosts
    this.#deadlineMs = options.deadlineMs
  }

  urlOf(host: string, path: string): URL {
    if (this.#endpoint !== undefined) {
      const url = new URL(`${this.#endpoint.base.href}${path}`)
      if (this.#endpoint.namespace !== undefined) url.searchParams.set('ns', this.#endpoint.namespace)
      return url
    }
    const name = apiHost(host)
    return new URL(`${this.#insecureHosts.schemeOf(name)}://${name}/v2/${path}`)
  }

  /** `work` gets the signal that the requests are to carry; its deadline is the one of a document. */
  async run<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.lifetime.run(this.#deadlineMs, what, undefined, work)
  }

  /** Any status; the body is the caller's. */
  async send(request: ApiRequest, signal: AbortSignal): Promise<HttpResponse> {
    return this.transport.send(this.#requestOf(request, signal))
  }

  /**
   * What `take` makes of a whole body with status 200; LIMIT when longer, other statuses throw as status-check.ts says.
   * DIGEST_MISMATCH from `take` can mean that it was cut off, where nothing says how long it is.
   */
  async getDocument<T>(
    request: ApiRequest,
    limitBytes: number,
    signal: AbortSignal,
    take: (document: ApiDocument) => T,
  ): Promise<T> {
    let askedAgain = false
    for (let attempt = 1; ; attempt++) {
      const response = await this.send(request, signal)
      // The registry may know a better place by now.
      if (response.redirected && isStaleStatus(response.status) && !askedAgain) {
        askedAgain = true
        response.body.discard()
        continue
      }
      await checkStatus(response, request, [200])
      try {
        checkEncoding(response, request.what)
        return take({ bytes: await readBody(response, limitBytes, request.what), response })
      } catch (error) {
        response.body.discard()
        const isCutOff =
          hasCode(error, 'DIGEST_MISMATCH') && headerOf(response, 'content-length') === undefined
        if (signal.aborted || !(isTransient(error) || isCutOff) || attempt === bodyAttempts) throw error
      }
    }
  }

  #requestOf(request: ApiRequest, signal: AbortSignal): HttpRequest {
    const { method = 'GET', host, kind, what, scope, accept } = request
    return {
      method,
      url: this.urlOf(host, request.path),
      headers: accept === undefined ? {} : { accept },
      kind,
      what,
      authorization: { host, scope },
      signal,
    }
  }
}
