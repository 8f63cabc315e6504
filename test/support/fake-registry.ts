import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../../src/util/digest.js'
import { digestOf } from '../../src/util/digest.js'
import { sendBlob } from './fake-registry-body.js'
import type { FakeAuth, FakeRequest, Faults } from './fake-registry-faults.js'
import { answerList } from './fake-registry-listing.js'
import { kindOf, scopeOf } from './fake-registry-paths.js'
import { reply, replyError } from './fake-registry-reply.js'
import { FakeTokens } from './fake-registry-tokens.js'
import { imageOf, indexOf, type ImageContents, type IndexMember, type PackedImage } from './images.js'

export interface FakeRegistryOptions {
  /** Undefined: anybody may pull. */
  auth?: FakeAuth
  faults?: Faults
  /** https, with these in PEM; the CDN too. */
  tls?: { key: Buffer; cert: Buffer }
  /** 127.0.0.1 unless told. */
  address?: '127.0.0.1' | '::1'
}

interface StoredManifest {
  readonly bytes: Buffer
  readonly mediaType: string
}

/** As Amazon's ECR says it. */
const expiredAtEcr = 'Your authorization token has expired. Reauthenticate and try again.'

/**
 * A registry over real HTTP in the test's own process, with a second server for redirected blobs ("the CDN"), a log of
 * requests, and the faults of fake-registry-faults.ts. `host` is what goes before the repository in a reference.
 */
export class FakeRegistry {
  /** `127.0.0.1:<port>`. */
  host = ''
  cdnHost = ''
  readonly requests: FakeRequest[] = []
  faults: Faults
  readonly tokens: FakeTokens
  readonly #auth: FakeAuth | undefined
  readonly #manifests = new Map<string, StoredManifest>()
  readonly #tags = new Map<string, Map<string, Digest>>()
  readonly #blobs = new Map<string, Buffer>()
  readonly #api: Server | TlsServer
  readonly #cdn: Server | TlsServer
  readonly #scheme: 'http' | 'https'
  readonly #urlKey = randomBytes(16)
  #urlEpoch = 0
  readonly #urlUses = new Map<string, number>()

  private constructor(options: FakeRegistryOptions) {
    this.faults = options.faults ?? {}
    this.#auth = options.auth
    this.tokens = new FakeTokens(options.auth ?? {})
    const { tls } = options
    this.#scheme = tls === undefined ? 'http' : 'https'
    const serve = (handler: RequestListener): Server | TlsServer =>
      tls === undefined ? createServer(handler) : createTlsServer(tls, handler)
    this.#api = serve(this.#handler('registry'))
    this.#cdn = serve(this.#handler('cdn'))
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const registry = new FakeRegistry(options)
    registry.host = await listen(registry.#api, options.address)
    registry.cdnHost = await listen(registry.#cdn, options.address)
    return registry
  }

  async stop(): Promise<void> {
    await Promise.all(
      [this.#api, this.#cdn].map(async (server) => {
        const closed = new Promise((resolve) => server.close(resolve))
        server.closeAllConnections()
        await closed
      }),
    )
  }

  addImage(repository: string, tag: string, contents: ImageContents): PackedImage {
    const image = imageOf(contents)
    for (const blob of image.blobs) this.addBlob(blob)
    this.addManifest(repository, tag, image.manifest, image.mediaType)
    return image
  }

  /** Members must have been added as images before, of the same repository. */
  addIndex(repository: string, tag: string, members: readonly IndexMember[]): Digest {
    const { bytes, mediaType } = indexOf(members)
    return this.addManifest(repository, tag, bytes, mediaType)
  }

  addManifest(
    repository: string,
    tag: string | undefined,
    bytes: Buffer,
    mediaType: string,
    digest = digestOf(bytes),
  ): Digest {
    this.#manifests.set(`${repository}@${digest}`, { bytes, mediaType })
    const tags = this.#tags.get(repository) ?? new Map<string, Digest>()
    if (tag !== undefined) tags.set(tag, digest)
    this.#tags.set(repository, tags)
    return digest
  }

  /** Other bytes under the same digest: what a broken registry or mirror would send. */
  replaceBlob(digest: Digest, bytes: Buffer): void {
    this.#blobs.set(digest, bytes)
  }

  addBlob(bytes: Buffer): Digest {
    const digest = digestOf(bytes)
    this.#blobs.set(digest, bytes)
    return digest
  }

  /** Points a tag elsewhere, as a push does. */
  moveTag(repository: string, tag: string, digest: Digest): void {
    this.#tags.get(repository)?.set(tag, digest)
  }

  deleteTag(repository: string, tag: string): void {
    this.#tags.get(repository)?.delete(tag)
  }

  /** Signed URLs given out so far are refused from now on. */
  expireUrls(): void {
    this.#urlEpoch++
  }

  /** `GET manifest 200`, one for each request, as tests compare it. */
  get trace(): readonly string[] {
    return this.requests.map(({ method, kind, status }) => `${method} ${kind} ${String(status)}`)
  }

  forgetRequests(): void {
    this.requests.length = 0
  }

  #handler(server: 'registry' | 'cdn') {
    return (request: IncomingMessage, response: ServerResponse): void => {
      const url = new URL(request.url ?? '/', `http://${request.headers.host ?? 'x'}`)
      const entry: FakeRequest = {
        kind: server === 'cdn' ? 'cdn' : kindOf(url.pathname),
        method: request.method ?? '',
        path: url.pathname,
        query: url.search,
        range: request.headers.range,
        authorized: request.headers.authorization !== undefined,
        acceptEncoding: request.headers['accept-encoding']?.toString(),
        userAgent: request.headers['user-agent'],
        status: 0,
        bytesSent: 0,
      }
      this.requests.push(entry)
      this.#answer(request, response, url, entry).catch(() => {
        response.destroy()
      })
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    entry: FakeRequest,
  ): Promise<void> {
    const { latencyMs, failing, html, namespace } = this.faults
    if (latencyMs !== undefined) await sleep(latencyMs)
    this.#setCommonHeaders(response, entry)
    if (html === true) {
      reply(response, entry, 200, '<!doctype html><title>Welcome</title>', { 'content-type': 'text/html' })
    } else if (
      failing !== undefined &&
      failing.times > 0 &&
      (failing.kind === 'any' || failing.kind === entry.kind)
    ) {
      failing.times--
      reply(response, entry, failing.status, failing.body ?? '', { 'retry-after': failing.retryAfter })
    } else if (entry.kind === 'cdn') {
      await this.#answerCdn(response, url, entry)
    } else if (entry.kind === 'token') {
      const [status, body] = await this.tokens.answer(request, url.searchParams)
      reply(response, entry, status, body, { 'content-type': 'application/json' })
    } else if (namespace !== undefined && url.searchParams.get('ns') !== namespace) {
      replyError(response, entry, 404, 'NAME_UNKNOWN')
    } else if (this.#isAllowed(request, response, url, entry)) {
      await this.#answerApi(request, response, url, entry)
    }
  }

  #setCommonHeaders(response: ServerResponse, { kind }: FakeRequest): void {
    const { clockAheadMs, warning, rateLimit, acceptRanges } = this.faults
    if (clockAheadMs !== undefined)
      response.setHeader('date', new Date(Date.now() + clockAheadMs).toUTCString())
    if (acceptRanges === true) response.setHeader('accept-ranges', 'bytes')
    if (kind === 'cdn') return
    if (warning !== undefined) response.setHeader('warning', warning)
    if (rateLimit === undefined || kind !== 'manifest') return
    response.setHeader('ratelimit-limit', `${String(rateLimit.limit)};w=21600`)
    response.setHeader('ratelimit-remaining', `${String(rateLimit.remaining)};w=21600`)
  }

  #isAllowed(request: IncomingMessage, response: ServerResponse, url: URL, entry: FakeRequest): boolean {
    const scope = scopeOf(url.pathname)
    const authorization = request.headers.authorization
    // What a relative redirect leads to is allowed by its signature.
    if (this.#auth === undefined || entry.kind === 'other') return true
    if (entry.kind !== 'ping' && this.tokens.accepts(authorization, scope)) return true
    const realm = `${this.#scheme}://${this.host}/token`
    const status = authorization === undefined ? 401 : (this.#auth.refusal ?? 401)
    const challenge =
      entry.kind === 'ping'
        ? this.#auth.scheme === 'basic'
          ? 'Basic realm="x"'
          : `Bearer realm="${realm}",service="fake"`
        : status === 401
          ? this.tokens.challenge(realm, scope, authorization !== undefined)
          : undefined
    const headers = { 'www-authenticate': challenge }
    if (status === 403) replyError(response, entry, status, 'DENIED', headers, expiredAtEcr)
    else replyError(response, entry, status, 'UNAUTHORIZED', headers)
    return false
  }

  async #answerApi(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    entry: FakeRequest,
  ): Promise<void> {
    const [, repository = '', , name = ''] =
      /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? []
    switch (entry.kind) {
      case 'ping':
        reply(response, entry, 200, '{}')
        break
      case 'manifest':
        this.#answerManifest(request, response, entry, repository, name)
        break
      case 'blob':
        await this.#answerBlob(response, url, entry, name)
        break
      case 'list':
        answerList(response, url, entry, this.#tags, this.faults)
        break
      case 'referrers':
        if (this.faults.noReferrers === true) replyError(response, entry, 404, 'NOT_FOUND')
        else
          reply(response, entry, 200, '{"schemaVersion":2,"manifests":[]}', {
            'content-type': 'application/vnd.oci.image.index.v1+json',
          })
        break
      default:
        await this.#answerCdn(response, url, entry)
    }
  }

  #answerManifest(
    request: IncomingMessage,
    response: ServerResponse,
    entry: FakeRequest,
    repository: string,
    name: string,
  ): void {
    const { headStatus, corruptManifests, noContentDigest, manifestContentType } = this.faults
    if (entry.method === 'HEAD' && headStatus !== undefined) {
      reply(response, entry, headStatus, '')
      return
    }
    const digest = name.includes(':') ? name : this.#tags.get(repository)?.get(name)
    const found = this.#manifests.get(`${repository}@${digest ?? ''}`)
    if (found === undefined) {
      replyError(response, entry, 404, this.#tags.has(repository) ? 'MANIFEST_UNKNOWN' : 'NAME_UNKNOWN')
      return
    }
    if (request.headers.accept?.includes(found.mediaType) !== true) {
      replyError(response, entry, 406, 'UNSUPPORTED')
      return
    }
    const body = corruptManifests === true ? Buffer.concat([found.bytes, Buffer.from(' ')]) : found.bytes
    reply(response, entry, 200, body, {
      'content-type': manifestContentType ?? `${found.mediaType}; charset=utf-8`,
      'docker-content-digest': noContentDigest === true ? undefined : digest,
    })
  }

  async #answerBlob(response: ServerResponse, url: URL, entry: FakeRequest, digest: string): Promise<void> {
    if (entry.method === 'HEAD') {
      replyError(response, entry, 403, 'DENIED')
      return
    }
    if (this.faults.missingBlobs?.has(digest) === true || !this.#blobs.has(digest)) {
      replyError(response, entry, 404, 'BLOB_UNKNOWN')
      return
    }
    const status = this.faults.redirectStatus ?? 307
    const location = this.#locationOf(digest, url)
    if (location !== undefined) reply(response, entry, status, '', { location })
    else await this.#sendStored(response, entry, digest)
  }

  #locationOf(digest: string, url: URL): string | undefined {
    const signed = `/data/${digest}?${this.#sign(digest)}`
    switch (this.faults.redirect) {
      case undefined:
        return undefined
      case 'cdn':
        return `${this.#scheme}://${this.cdnHost}${signed}`
      case 'relative':
        return signed
      case 'chain':
        return `${this.#scheme}://${this.cdnHost}/hop/2${signed}`
      case 'loop':
        return url.href
      case 'https-elsewhere':
        return `https://${this.cdnHost}${signed}`
      case 'http-elsewhere':
        return `http://cdn.example${signed}`
    }
  }

  #sign(digest: string, at = Math.round(performance.now() * 1000)): string {
    const text = `${digest} ${String(at)} ${String(this.#urlEpoch)}`
    const signature = createHmac('sha256', this.#urlKey).update(text).digest('hex')
    return `at=${String(at)}&X-Amz-Signature=${signature}`
  }

  async #answerCdn(response: ServerResponse, url: URL, entry: FakeRequest): Promise<void> {
    const hop = /^\/hop\/(\d+)(\/.*)$/.exec(url.pathname)
    if (hop !== null) {
      const left = Number(hop[1]) - 1
      reply(response, entry, 302, '', {
        location: `${left > 0 ? `/hop/${String(left)}` : ''}${hop[2] ?? ''}${url.search}`,
      })
      return
    }
    const digest = url.pathname.replace('/data/', '')
    const at = Number(url.searchParams.get('at'))
    const isSigned = url.search === `?${this.#sign(digest, at)}`
    const uses = (this.#urlUses.get(url.search) ?? 0) + 1
    this.#urlUses.set(url.search, uses)
    const isFresh =
      performance.now() - at / 1000 < (this.faults.urlTtlMs ?? Infinity) &&
      uses <= (this.faults.urlUses ?? Infinity)
    if (entry.kind === 'cdn' && entry.authorized) {
      reply(response, entry, 400, '<Error><Code>InvalidArgument</Code></Error>')
    } else if (!isSigned || !isFresh || entry.method !== 'GET') {
      reply(response, entry, this.faults.expiredUrlStatus ?? 403, '<Error><Code>ExpiredToken</Code></Error>')
    } else if (this.faults.missingBlobs?.has(digest) === true) {
      reply(response, entry, 404, '<Error><Code>NoSuchKey</Code></Error>')
    } else {
      await this.#sendStored(response, entry, digest)
    }
  }

  async #sendStored(response: ServerResponse, entry: FakeRequest, digest: string): Promise<void> {
    const stored = this.#blobs.get(digest) ?? Buffer.alloc(0)
    const { corruptBlobs = false } = this.faults
    const isCorrupt = typeof corruptBlobs === 'boolean' ? corruptBlobs : corruptBlobs.has(digest)
    const blob = isCorrupt ? Buffer.from(stored) : stored
    if (isCorrupt && blob.length > 0) blob[blob.length >> 1] = (blob[blob.length >> 1] ?? 0) ^ 1
    await sendBlob(response, entry, blob, this.faults, () => this.faults.bytesPerSecond)
  }
}

async function listen(server: Server | TlsServer, address = '127.0.0.1'): Promise<string> {
  server.listen(0, address)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return `${address.includes(':') ? `[${address}]` : address}:${String(port)}`
}
