import { LRUCache } from 'lru-cache'
import type { Logger } from '../../util/log.js'
import { redactText } from '../redact.js'
import { headersOf, type HttpRequest, type HttpResponse, type Transport } from '../transport.js'

/** OCI distribution-spec "Warnings": `299 - "text"`, of 4096 bytes at most. */
const warningPattern = /(?:^|,)\s*299\s+-\s+"((?:[^"\\]|\\.)*)"/g
const maxHeaderLength = 4096
const maxTextLength = 1000
const remembered = 1000

/** Tells what a registry warns of (that a repository moves, say), each text once. Storages behind redirects are not listened to. */
export class WarningTransport implements Transport {
  readonly #inner: Transport
  readonly #log: Logger
  readonly #told = new LRUCache<string, true>({ max: remembered })

  constructor(inner: Transport, log: Logger) {
    this.#inner = inner
    this.#log = log
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const response = await this.#inner.send(request)
    if (request.authorization !== undefined)
      for (const text of warningsOf(response)) this.#tell(request.url.host, text)
    return response
  }

  #tell(host: string, warning: string): void {
    const key = `${host} ${warning}`
    if (this.#told.has(key)) return
    this.#told.set(key, true)
    this.#log.warn({ host, warning }, 'the registry warns')
  }
}

/** Fit to be shown. */
function warningsOf(response: HttpResponse): readonly string[] {
  return headersOf(response, 'warning')
    .filter((header) => header.length <= maxHeaderLength)
    .flatMap((header) => [...header.matchAll(warningPattern)])
    .map(([, text = '']) => redactText(text.replace(/\\(.)/g, '$1'), maxTextLength))
}
