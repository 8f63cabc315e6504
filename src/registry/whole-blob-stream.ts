import { abortable } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { PendingFill } from './pending-fill.js'
import type { RangelessHosts } from './rangeless-hosts.js'
import type { HttpResponse } from './transport.js'

/** A stream that nobody goes on with holds one of the host's sockets no longer than this. */
const idleMs = 30_000

/**
 * The body of a 200 from a server that ignores ranges, kept open from read to read: a sequence of reads, which is
 * what a first pass is, then costs the blob once, and not once for each read.
 */
export class WholeBlobStream {
  readonly #response: HttpResponse
  readonly #size: number
  readonly #what: string
  #position = 0
  #over = false
  #rest: Buffer = Buffer.alloc(0)
  #turn: Promise<unknown> = Promise.resolve()
  #idle: NodeJS.Timeout | undefined
  readonly #hosts: RangelessHosts
  #wake = (): void => undefined

  constructor(response: HttpResponse, size: number, what: string, hosts: RangelessHosts) {
    this.#hosts = hosts
    this.#response = response
    this.#size = size
    this.#what = what
    this.#startIdle()
  }

  /** Of the next byte that comes. */
  get position(): number {
    return this.#position
  }

  get isOver(): boolean {
    return this.#over
  }

  /** Whether bytes from `offset` may still come. */
  reaches(offset: number): boolean {
    return !this.#over && this.#position <= offset
  }

  /**
   * Fills from here once earlier fills are done. False when the stream has passed the place or ended meanwhile;
   * throws UNAVAILABLE or TIMEOUT when it breaks off.
   */
  async fill(fill: PendingFill): Promise<boolean> {
    const before = this.#turn
    let done = (): void => undefined
    const mine = new Promise<void>((resolve) => {
      done = resolve
    })
    this.#turn = before.then(async () => mine)
    try {
      await abortable(before, fill.signal)
      if (!this.reaches(fill.position)) return false
      await this.#flow(fill)
      return true
    } finally {
      done()
    }
  }

  /** Closes once nobody waits for it any more. */
  retire(): void {
    void this.#turn.then(() => {
      this.close()
    })
  }

  close(): void {
    this.#over = true
    this.#rest = Buffer.alloc(0)
    this.#endIdle()
    this.#response.body.discard()
  }

  async #flow(fill: PendingFill): Promise<void> {
    this.#endIdle()
    const onAbort = (): void => {
      this.close()
    }
    fill.signal.addEventListener('abort', onAbort, { once: true })
    try {
      const rest = this.#rest
      this.#rest = Buffer.alloc(0)
      const outcome = this.#take(fill, rest)
        ? await this.#response.body.consume((chunk) => this.#take(fill, chunk))
        : 'stopped'
      if (outcome === 'ended') this.#over = true
      if (!fill.isDone) throw new RegistryFsError('UNAVAILABLE', `${this.#what}: the body is too short`)
    } catch (error) {
      this.#over = true
      throw error
    } finally {
      fill.signal.removeEventListener('abort', onAbort)
      if (!this.#over) this.#startIdle()
    }
  }

  /** Skips to the fill's position, copies, and keeps what is left of the chunk. True: more is wanted. */
  #take(fill: PendingFill, chunk: Buffer): boolean {
    const skip = Math.min(chunk.length, Math.max(0, fill.position - this.#position))
    fill.pass(this.#position, chunk.subarray(0, skip))
    const used = fill.put(chunk.subarray(skip))
    this.#position += skip + used
    // Through to the end where it is near, so that the connection can be used again.
    if (!fill.isDone || this.#position === this.#size) return true
    if (skip + used < chunk.length) this.#rest = Buffer.from(chunk.subarray(skip + used))
    return false
  }

  #startIdle(): void {
    this.#endIdle()
    const close = (): void => {
      this.close()
    }
    this.#idle = setTimeout(close, idleMs)
    this.#idle.unref()
    this.#wake = this.#hosts.rest(this.#response.url.host, close)
  }

  #endIdle(): void {
    clearTimeout(this.#idle)
    this.#wake()
    this.#wake = () => undefined
  }
}
