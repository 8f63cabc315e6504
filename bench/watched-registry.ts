import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Traffic } from './registry.js'

const token = 'of-the-benchmark'

/**
 * Stands before a registry: wants a token of every request, as the public ones do, sends blobs no faster than told, and
 * counts requests when they come and bytes when they are sent, not when a request is over, as an access log does.
 */
export class WatchedRegistry {
  readonly host: string
  readonly #server: Server
  readonly #upstream: string
  readonly #blobBytesPerSecond: number
  #requests = 0
  #blobBytes = 0
  #lastMs = 0

  private constructor(server: Server, upstream: string, blobBytesPerSecond: number) {
    this.host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`
    this.#server = server
    this.#upstream = upstream
    this.#blobBytesPerSecond = blobBytesPerSecond
  }

  static async start(upstream: string, blobBytesPerSecond: number): Promise<WatchedRegistry> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const watched = new WatchedRegistry(server, upstream, blobBytesPerSecond)
    server.on('request', (incoming: IncomingMessage, outgoing: ServerResponse) => {
      watched.#answer(incoming, outgoing).catch(() => {
        outgoing.destroy()
      })
    })
    return watched
  }

  /** So far. */
  traffic(): Traffic {
    return { requests: this.#requests, blobBytes: this.#blobBytes }
  }

  /** Resolves when nothing has been asked for or sent for a while. */
  async quiet(): Promise<void> {
    while (performance.now() - this.#lastMs < 400) await sleep(50)
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.#requests++
    this.#lastMs = performance.now()
    if (incoming.url?.startsWith('/token') === true) {
      outgoing.setHeader('content-type', 'application/json').end(JSON.stringify({ token, expires_in: 300 }))
      return
    }
    if (incoming.headers.authorization !== `Bearer ${token}`) {
      const challenge = `Bearer realm="http://${this.host}/token",service="bench"`
      outgoing.writeHead(401, { 'www-authenticate': challenge }).end()
      return
    }
    const forwarded = request(`http://${this.#upstream}${incoming.url ?? '/'}`, {
      method: incoming.method,
      headers: { ...incoming.headers, host: this.#upstream },
    })
    outgoing.once('close', () => forwarded.destroy())
    forwarded.end()
    const [response] = (await once(forwarded, 'response')) as [IncomingMessage]
    outgoing.writeHead(response.statusCode ?? 502, response.headers)
    const isBlob = incoming.url?.includes('/blobs/') === true
    for await (const part of response as AsyncIterable<Buffer>) {
      if (isBlob) await this.#take(part.length)
      if (!outgoing.write(part)) await once(outgoing, 'drain')
    }
    outgoing.end()
  }

  #freeAtMs = 0

  /** All blobs share one line. */
  async #take(bytes: number): Promise<void> {
    const now = performance.now()
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + (1000 * bytes) / this.#blobBytesPerSecond
    if (this.#freeAtMs - now > 1) await sleep(this.#freeAtMs - now)
    this.#blobBytes += bytes
    this.#lastMs = performance.now()
  }
}
