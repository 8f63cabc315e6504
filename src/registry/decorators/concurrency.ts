import { abortable } from '../../util/abort.js'
import type { HttpRequest, HttpResponse, ResponseBody, Transport } from '../transport.js'

/** Answers of requests that were under way together are one sign, not many. */
const cutPauseMs = 1_000

/**
 * At most so many requests at a time to each host. A host that says 429 or 503 is given half as many; it gets one more
 * again each time that as many as it may have went well. (Additive increase, multiplicative decrease.)
 */
export class ConcurrencyTransport implements Transport {
  readonly #inner: Transport
  readonly #most: number
  readonly #hosts = new Map<string, HostLimit>()

  constructor(inner: Transport, most: number) {
    this.#inner = inner
    this.#most = most
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const host = this.#hostOf(request.url.origin)
    const release = await host.enter(request.signal)
    try {
      const response = await this.#inner.send(request)
      host.learn(response.status)
      // A refusal's body is small, and whoever got it may need another request before they can let go of it.
      if (response.status < 200 || response.status >= 300) release()
      return { ...response, body: releasing(response.body, release) }
    } catch (error) {
      release()
      throw error
    }
  }

  #hostOf(origin: string): HostLimit {
    let host = this.#hosts.get(origin)
    if (host === undefined) {
      // Forgotten when idle and well: signed URLs may come from ever new hosts.
      for (const [name, other] of this.#hosts) if (other.isAsNew) this.#hosts.delete(name)
      host = new HostLimit(this.#most)
      this.#hosts.set(origin, host)
    }
    return host
  }
}

class HostLimit {
  readonly #most: number
  #limit: number
  #underWay = 0
  #successes = 0
  #cutAt = Number.NEGATIVE_INFINITY
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
    this.#limit = most
  }

  get isAsNew(): boolean {
    return this.#underWay === 0 && this.#limit === this.#most
  }

  /** Waits for a turn; the result ends it, however often it is called. */
  async enter(signal: AbortSignal): Promise<() => void> {
    if (this.#underWay < this.#limit) this.#underWay++
    else {
      let wake = (): void => undefined
      const turn = new Promise<void>((resolve) => {
        wake = resolve
      })
      this.#waiting.push(wake)
      try {
        await abortable(turn, signal)
      } catch (error) {
        const at = this.#waiting.indexOf(wake)
        if (at >= 0) this.#waiting.splice(at, 1)
        else this.#leave()
        throw error
      }
    }
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#leave()
    }
  }

  learn(status: number): void {
    if (status === 429 || status === 503) {
      this.#successes = 0
      const now = performance.now()
      if (now - this.#cutAt < cutPauseMs) return
      this.#cutAt = now
      this.#limit = Math.max(1, Math.floor(this.#limit / 2))
    } else if (status < 400 && ++this.#successes >= this.#limit && this.#limit < this.#most) {
      this.#successes = 0
      this.#limit++
      this.#admit()
    }
  }

  #leave(): void {
    this.#underWay--
    this.#admit()
  }

  #admit(): void {
    while (this.#underWay < this.#limit) {
      const wake = this.#waiting.shift()
      if (wake === undefined) return
      this.#underWay++
      wake()
    }
  }
}

/** A body that stands still takes up nothing. */
function releasing(body: ResponseBody, release: () => void): ResponseBody {
  return {
    consume: async (sink) => body.consume(sink).finally(release),
    discard: () => {
      release()
      body.discard()
    },
  }
}
