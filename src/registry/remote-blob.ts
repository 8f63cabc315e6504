import type { BlobSource, ReadIntoOptions } from '../blob/source.js'
import { clampLength } from '../blob/source.js'
import { abortable, sleep, type ReadOptions } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { checkPartial, checkWhole, formatRange, unsatisfiable } from './content-range.js'
import type { Descriptor } from './descriptor.js'
import { isTransient } from './network-error.js'
import { PendingFill, type AskedAgain } from './pending-fill.js'
import type { RangelessHosts } from './rangeless-hosts.js'
import type { Repository } from './reference.js'
import { pullScope, type RegistryApi } from './registry-api.js'
import type { RegistryCounters } from './registry.js'
import { isStaleStatus } from './stale-status.js'
import { statusError } from './status-check.js'
import type { HttpRequest, HttpResponse } from './transport.js'
import { WholeBlobStream } from './whole-blob-stream.js'

export interface RemoteBlobOptions {
  readonly api: RegistryApi
  readonly log: Logger
  readonly counters: RegistryCounters
  /** For one read or readInto, all retries included. */
  readonly deadlineMs: number
  /** How often in a row a body may break off without progress. */
  readonly maxResumes: number
  /** The wait after the second break without progress; doubles each time. */
  readonly resumeBaseMs: number
  readonly rangelessHosts: RangelessHosts
  /** In place of the registry: a URL of the descriptor, which is never given any authorization (CVE-2020-15157). */
  readonly foreignUrl?: URL
}

/** Less than this between two breaks is no progress: a server that sends byte by byte must not hold us for good. */
const progressBytes = 16 * 1024
/** Of servers that know no ranges: one for a first pass, one for a reader behind it. */
const maxStreams = 2
/** Further ahead than this a range is tried again before a stream is read so far. */
const nearBytes = 8 * 1024 * 1024

/**
 * A blob in a registry: closed single ranges, each checked against what was asked. The registry usually redirects to
 * a signed URL elsewhere; that is found by the first range, shared by all, and forgotten when it is refused. A body
 * that breaks off goes on at the byte where it broke. Never a HEAD: signed URLs are for GET only.
 */
export class RemoteBlob implements BlobSource {
  readonly size: number
  readonly #options: RemoteBlobOptions
  readonly #repository: Repository
  readonly #descriptor: Descriptor
  readonly #host: string
  readonly #what: string
  readonly #url: URL
  /** Where the bytes are; undefined until the first answer. */
  #location: URL | undefined
  #locating: Promise<void> | undefined
  /** From a server that knows no ranges. */
  #streams: readonly WholeBlobStream[] = []

  constructor(repository: Repository, descriptor: Descriptor, options: RemoteBlobOptions) {
    this.size = descriptor.size
    this.#options = options
    this.#repository = repository
    this.#descriptor = descriptor
    const { foreignUrl } = options
    this.#host = foreignUrl?.host ?? repository.host
    this.#what = `${this.#host}: GET blobs/${descriptor.digest} of ${repository.path}`
    this.#url =
      foreignUrl ?? options.api.urlOf(repository.host, `${repository.path}/blobs/${descriptor.digest}`)
  }

  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(clampLength(this.size, offset, length))
    await this.readInto(offset, target, options)
    return target
  }

  async readInto(offset: number, target: Buffer, options: ReadIntoOptions = {}): Promise<void> {
    if (target.length === 0) return
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + target.length > this.size) {
      throw new RegistryFsError(
        'INVALID',
        `${this.#what}: a read at ${String(offset)} beyond ${String(this.size)}`,
      )
    }
    const { api, deadlineMs, counters } = this.#options
    const onBytes = (bytes: number): void => {
      counters.blobBytes += bytes
    }
    try {
      await api.lifetime.run(deadlineMs, this.#what, options.signal, async (signal) =>
        this.#complete(new PendingFill(offset, target, signal, onBytes, options)),
      )
    } catch (error) {
      throw error instanceof RegistryFsError ? error.within({ layer: this.#descriptor.digest }) : error
    }
  }

  async #complete(fill: PendingFill): Promise<void> {
    let resumes = 0
    let mark = 0
    while (!fill.isDone) {
      while (this.#location === undefined && this.#locating !== undefined)
        await abortable(this.#locating, fill.signal)
      const broken = await this.#advance(fill)
      if (broken === undefined) continue
      const progressed = fill.filledBytes - mark >= progressBytes
      if (progressed) mark = fill.filledBytes
      resumes = progressed ? 1 : resumes + 1
      if (resumes > this.#options.maxResumes) throw broken
      this.#options.counters.retries++
      this.#options.log.debug({ what: this.#what, at: fill.position, reason: broken.message }, 'resume')
      if (resumes > 1) await sleep(this.#options.resumeBaseMs * 2 ** Math.min(resumes - 2, 6), fill.signal)
    }
  }

  /** One body's worth. Returns why it broke off, if it did and it is worth going on; throws otherwise. */
  async #advance(fill: PendingFill): Promise<RegistryFsError | undefined> {
    try {
      const stream = this.#streamFor(fill)
      if (stream !== undefined) {
        await stream.fill(fill)
        return undefined
      }
    } catch (error) {
      return resumable(error, fill)
    }
    const response = await this.#open(fill)
    if (response === undefined) return undefined
    try {
      const outcome = await response.body.consume((chunk) => {
        if (fill.put(chunk) < chunk.length)
          throw new RegistryFsError('PROTOCOL', `${this.#what}: more bytes than asked for`)
        return true
      })
      if (outcome === 'ended' && fill.isDone) return undefined
      return new RegistryFsError('UNAVAILABLE', `${this.#what}: the body is too short`)
    } catch (error) {
      return resumable(error, fill)
    }
  }

  /** The one that has the least to skip. */
  #streamFor(fill: PendingFill, isAny = false): WholeBlobStream | undefined {
    this.#streams = this.#streams.filter((stream) => !stream.isOver)
    const stream = this.#streams
      .filter((one) => one.reaches(fill.position))
      .sort((a, b) => b.position - a.position)[0]
    if (stream === undefined || isAny) return stream
    const isNear = fill.position - stream.position <= nearBytes
    const host = (this.#location ?? this.#url).host
    return isNear || this.#options.rangelessHosts.has(host) ? stream : undefined
  }

  /** A checked 206 for what is missing. Undefined: look again, there is a stream, or the location was stale. */
  async #open(fill: PendingFill): Promise<HttpResponse | undefined> {
    const location = this.#location
    const release = location === undefined ? this.#startLocating() : undefined
    try {
      const response = await this.#send(fill, location)
      if (response === undefined) return undefined
      if (!(await this.#check(response, fill, location))) return undefined
      if (response.status === 200) this.#adopt(response, fill)
      else if (fill.missingBytes < this.size) this.#options.rangelessHosts.remove(response.url.host)
      this.#location ??= response.redirected ? response.url : this.#url
      fill.foundPlace()
      return response.status === 200 ? undefined : response
    } finally {
      release?.()
    }
  }

  /** Undefined: what we knew of the blob's place was stale; ask again. */
  async #send(fill: PendingFill, location: URL | undefined): Promise<HttpResponse | undefined> {
    const isRemembered = location !== undefined && location !== this.#url
    let response: HttpResponse
    try {
      response = await this.#options.api.transport.send(this.#requestOf(fill, location ?? this.#url))
    } catch (error) {
      if (
        isRemembered &&
        !fill.signal.aborted &&
        isTransient(error) &&
        this.#forget(fill, location, 'unreachable')
      )
        return undefined
      throw error
    }
    const isElsewhere = isRemembered || response.redirected
    if (isElsewhere && isStaleStatus(response.status) && this.#forget(fill, location, 'stale')) {
      response.body.discard()
      return undefined
    }
    if (isRemembered && response.status >= 400 && this.#location === location) this.#location = undefined
    return isRemembered ? { ...response, redirected: true } : response
  }

  #forget(fill: PendingFill, location: URL | undefined, why: AskedAgain): boolean {
    if (this.#location === location) this.#location = undefined
    if (!fill.askAgain(why)) return false
    this.#options.counters.retries++
    return true
  }

  #startLocating(): () => void {
    let release = (): void => undefined
    const locating = new Promise<void>((resolve) => {
      release = resolve
    })
    this.#locating = locating
    return () => {
      if (this.#locating === locating) this.#locating = undefined
      release()
    }
  }

  #requestOf(fill: PendingFill, url: URL): HttpRequest {
    const { host } = this.#repository
    const isRegistry = url.origin === this.#url.origin && this.#options.foreignUrl === undefined
    return {
      method: 'GET',
      url,
      headers: { range: formatRange(fill.position, fill.missingBytes) },
      kind: 'blob',
      what: this.#what,
      authorization: isRegistry ? { host, scope: pullScope(this.#repository) } : undefined,
      signal: fill.signal,
      isPatient: fill.isPatient,
    }
  }

  /** False: it is not what was asked for, but the registry may send us to somebody better. */
  async #check(response: HttpResponse, fill: PendingFill, location: URL | undefined): Promise<boolean> {
    const request = { what: this.#what }
    const range = { offset: fill.position, length: fill.missingBytes, size: this.size }
    try {
      if (response.status === 206) {
        checkPartial(response, range, this.#what)
      } else if (response.status === 416) {
        throw unsatisfiable(response, range, this.#what)
      } else if (response.status === 200) {
        checkWhole(response, this.size, this.#what)
      } else {
        throw await this.#refusal(response, request)
      }
      return true
    } catch (error) {
      response.body.discard()
      if (response.status === 206 && this.#forget(fill, location, 'wrong')) return false
      throw error
    }
  }

  async #refusal(response: HttpResponse, request: Pick<HttpRequest, 'what'>): Promise<RegistryFsError> {
    const error = await statusError(response, request)
    if (!hasCode(error, 'NOT_FOUND')) return error
    const place = this.#options.foreignUrl === undefined ? 'in the registry' : 'at its URL'
    return new RegistryFsError(
      'GONE',
      `${this.#host}: layer ${this.#descriptor.digest} of ${this.#repository.path} is no longer ${place}`,
    )
  }

  #adopt(response: HttpResponse, fill: PendingFill): void {
    // Who asks for everything may get it as a 200.
    if (fill.missingBytes < this.size) this.#options.rangelessHosts.add(response.url.host)
    // Somebody else's may have come first and be as good.
    if (this.#streamFor(fill, true) !== undefined) {
      response.body.discard()
      return
    }
    this.#streams = [
      ...this.#streams,
      new WholeBlobStream(response, this.size, this.#what, this.#options.rangelessHosts),
    ]
    if (this.#streams.length <= maxStreams) return
    this.#streams[0]?.retire()
    this.#streams = this.#streams.slice(1)
  }
}

function resumable(error: unknown, fill: PendingFill): RegistryFsError {
  if (fill.signal.aborted || !(error instanceof RegistryFsError) || !isTransient(error)) throw error
  return error
}
