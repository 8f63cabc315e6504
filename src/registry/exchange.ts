import type { Dispatcher } from 'undici'
import { abortError } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import { networkError } from './network-error.js'
import type { HttpRequest, HttpResponse, ResponseBody } from './transport.js'

/** Below this, reading the rest of an unwanted body is cheaper than a new connection. */
const drainBytes = 16 * 1024

/**
 * One request on a socket. A handler on undici's dispatch and not its body stream (as fast, measured): the stall
 * timer then runs only while somebody waits for bytes, and a body can be left and gone on with.
 */
export class Exchange implements Dispatcher.DispatchHandler, ResponseBody {
  readonly response: Promise<HttpResponse>
  readonly #request: HttpRequest
  readonly #stallMs: number
  readonly #onSent: () => void
  readonly #onAbort: () => void
  readonly #proxy: URL | undefined
  #settleHeaders: Settle<HttpResponse>
  #controller: Dispatcher.DispatchController | undefined
  #state: 'waiting' | 'open' | 'ended' | 'failed' = 'waiting'
  #error: RegistryFsError | undefined
  #sink: ((chunk: Buffer) => boolean) | undefined
  #settleBody: Settle<'ended' | 'stopped'> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(request: HttpRequest, stallMs: number, onSent: () => void, proxy?: URL) {
    this.#request = request
    this.#proxy = proxy
    this.#stallMs = stallMs
    this.#onSent = onSent
    let settle: Settle<HttpResponse> | undefined
    this.response = new Promise((resolve, reject) => {
      settle = { resolve, reject }
    })
    this.#settleHeaders = settle as unknown as Settle<HttpResponse>
    this.#onAbort = () => {
      this.#fail(abortError(request.signal))
    }
    request.signal.addEventListener('abort', this.#onAbort, { once: true })
    if (request.signal.aborted) this.#onAbort()
  }

  async consume(sink: (chunk: Buffer) => boolean): Promise<'ended' | 'stopped'> {
    if (this.#error !== undefined) throw this.#error
    if (this.#state === 'ended') return 'ended'
    return new Promise((resolve, reject) => {
      this.#sink = sink
      this.#settleBody = { resolve, reject }
      this.#startTimer()
      this.#controller?.resume()
    })
  }

  discard(): void {
    if (this.#state !== 'open') return
    const unwanted = new RegistryFsError('ABORTED', `${this.#request.what}: not wanted any more`)
    if (this.#settleBody !== undefined) {
      this.#fail(unwanted)
      return
    }
    let left = drainBytes
    this.consume((chunk) => (left -= chunk.length) > 0).then(
      (outcome) => {
        if (outcome === 'stopped') this.#fail(unwanted)
      },
      () => undefined,
    )
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#error !== undefined) {
      controller.abort(this.#error)
      return
    }
    this.#onSent()
    this.#startTimer()
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: HttpResponse['headers'],
  ): void {
    if (status < 200) return
    this.#stopTimer()
    this.#state = 'open'
    if (this.#request.method !== 'HEAD') controller.pause()
    this.#settleHeaders.resolve({ status, headers, url: this.#request.url, redirected: false, body: this })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#timer?.refresh()
    let more: boolean | undefined
    try {
      more = this.#sink?.(chunk)
    } catch (error) {
      this.#fail(error)
      return
    }
    if (more === true) return
    controller.pause()
    this.#settle()?.resolve('stopped')
  }

  onResponseEnd(): void {
    if (this.#state === 'failed') return
    this.#state = 'ended'
    this.#request.signal.removeEventListener('abort', this.#onAbort)
    this.#settle()?.resolve('ended')
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(networkError(this.#request.what, this.#request.url, error, this.#proxy))
  }

  #fail(reason: unknown): void {
    if (this.#state === 'failed' || this.#state === 'ended') return
    const error =
      reason instanceof RegistryFsError
        ? reason
        : networkError(this.#request.what, this.#request.url, reason, this.#proxy)
    this.#state = 'failed'
    this.#error = error
    this.#request.signal.removeEventListener('abort', this.#onAbort)
    this.#controller?.abort(error)
    this.#settleHeaders.reject(error)
    this.#settle()?.reject(error)
  }

  /** Ends the flow to the consumer, who is returned. */
  #settle(): Settle<'ended' | 'stopped'> | undefined {
    const consumer = this.#settleBody
    this.#stopTimer()
    this.#sink = undefined
    this.#settleBody = undefined
    return consumer
  }

  #startTimer(): void {
    this.#stopTimer()
    this.#timer = setTimeout(() => {
      const waited = `${String(this.#stallMs / 1000)} s`
      this.#fail(
        new RegistryFsError(
          'TIMEOUT',
          `${this.#request.what}: no byte from ${this.#request.url.host} for ${waited}`,
        ),
      )
    }, this.#stallMs)
  }

  #stopTimer(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}

interface Settle<T> {
  resolve(value: T): void
  reject(error: unknown): void
}
