import type { BearerToken } from './bearer-token.js'
import { parseToken } from './bearer-token.js'
import {
  headerOf,
  type HttpRequest,
  type HttpResponse,
  type ResponseBody,
  type Transport,
} from './transport.js'

/** What went over the wire, without bodies and without anything secret but response headers. */
export interface RecordedExchange {
  readonly kind: HttpRequest['kind']
  readonly method: string
  readonly url: URL
  readonly hasRange: boolean
  readonly status: number
  readonly header: (name: string) => string | undefined
  /** Of a token server's answer. */
  tokenLifetimeMs: number | undefined
}

const maxRecorded = 1000
const maxTokenBytes = 1024 * 1024

/** Remembers answers as they come, for whoever explains afterwards how a registry behaves. */
export class RecordingTransport implements Transport {
  readonly #inner: Transport
  readonly #exchanges: RecordedExchange[]

  constructor(inner: Transport, exchanges: RecordedExchange[]) {
    this.#inner = inner
    this.#exchanges = exchanges
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const response = await this.#inner.send(request)
    const { kind, method } = request
    const exchange: RecordedExchange = {
      kind,
      method,
      url: response.url,
      hasRange: request.headers['range'] !== undefined,
      status: response.status,
      header: (name) => headerOf(response, name),
      tokenLifetimeMs: undefined,
    }
    if (this.#exchanges.length < maxRecorded) this.#exchanges.push(exchange)
    if (kind !== 'token' || response.status !== 200) return response
    const take = (token: BearerToken): void => {
      exchange.tokenLifetimeMs = token.lifetimeMs
    }
    return { ...response, body: watched(response.body, take) }
  }
}

/** The same body; the token that it holds is shown to `take` once it was consumed. */
function watched(body: ResponseBody, take: (token: BearerToken) => void): ResponseBody {
  const chunks: Buffer[] = []
  let length = 0
  return {
    consume: async (sink) => {
      const outcome = await body.consume((chunk) => {
        length += chunk.length
        if (length <= maxTokenBytes) chunks.push(Buffer.from(chunk))
        return sink(chunk)
      })
      try {
        if (outcome === 'ended') take(parseToken(Buffer.concat(chunks), 'token'))
      } catch {
        // Whoever asked for it will say so.
      }
      return outcome
    },
    discard: () => {
      body.discard()
    },
  }
}
