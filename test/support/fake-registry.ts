import { createHmac, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '../../src/util/digest.js'
import { digestOf } from '../../src/util/digest.js'
import { sendBlob } from './fake-registry-body.js'
import type { FakeAuth, FakeRequest, Faults } from './fake-registry-faults.js'
import { kindOf, scopeOf } from './fake-registry-paths.js'
import { FakeTokens } from './fake-registry-tokens.js'
import { imageOf, indexOf, type ImageContents, type IndexMember, type PackedImage } from './images.js'

export interface FakeRegistryOptions {
  /** Undefined: anybody may pull. */
  auth?: FakeAuth
  faults?: Faults
}

interface StoredManifest {
  readonly bytes: Buffer
  readonly mediaType: string
}

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
  readonly #api: Server
  readonly #cdn: Server
  readonly #urlKey = randomBytes(16)
  #urlEpoch = 0
  readonly #urlUses = new Map<string, number>()

  private constructor(options: FakeRegistryOptions) {
    this.faults = options.faults ?? {}
    this.#auth = options.auth
    this.tokens = new FakeTokens(options.auth ?? {})
    this.#api = createServer(this.#handler('registry'))
    this.#cdn = createServer(this.#handler('cdn'))
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const registry = new FakeRegistry(options)
    registry.host = await listen(registry.#api)
    registry.cdnHost = await listen(registry.#cdn)
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
    const { latencyMs, failing, html } = this.faults
    if (latencyMs !== undefined) await sleep(latencyMs)
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
    } else if (this.#isAllowed(request, response, url, entry)) {
      await this.#answerApi(request, response, url, entry)
    }
  }

  #isAllowed(request: IncomingMessage, response: ServerResponse, url: URL, entry: FakeRequest): boolean {
    const scope = scopeOf(url.pathname)
    const authorization = request.headers.authorization
    // What a relative redirect leads to is allowed by its signature.
    if (this.#auth === undefined || entry.kind === 'other') return true
    if (entry.kind !== 'ping' && this.tokens.accepts(authorization, scope)) return true
    const realm = `http://${this.host}/token`
    const status = authorization === undefined ? 401 : (this.#auth.refusal ?? 401)
    const challenge =
      entry.kind === 'ping'
        ? this.#auth.scheme === 'basic'
          ? 'Basic realm="x"'
          : `Bearer realm="${realm}",service="fake"`
        : status === 401
          ? this.tokens.challenge(realm, scope)
          : undefined
    replyError(response, entry, status, 'UNAUTHORIZED', { 'www-authenticate': challenge })
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
        this.#answerList(response, url, entry)
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
        return `http://${this.cdnHost}${signed}`
      case 'relative':
        return signed
      case 'chain':
        return `http://${this.cdnHost}/hop/2${signed}`
      case 'loop':
        return url.href
      case 'https-elsewhere':
        return `https://${this.cdnHost}${signed}`
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

  #answerList(response: ServerResponse, url: URL, entry: FakeRequest): void {
    const tagsOf = /^\/v2\/(.+)\/tags\/list$/.exec(url.pathname)?.[1]
    const tags = tagsOf === undefined ? undefined : this.#tags.get(tagsOf)
    if (tagsOf === undefined ? this.faults.noCatalog === true : tags === undefined) {
      replyError(response, entry, 404, tagsOf === undefined ? 'UNSUPPORTED' : 'NAME_UNKNOWN')
      return
    }
    const all = [...(tags ?? this.#tags).keys()].sort()
    const last = url.searchParams.get('last') ?? ''
    const size = this.faults.pageSize ?? 1000
    const names = all.filter((name) => name > last).slice(0, size)
    const isLast = names.at(-1) === all.at(-1)
    const link = `<${url.pathname}?last=${encodeURIComponent(names.at(-1) ?? '')}&n=${String(size)}>; rel="next"`
    const body = JSON.stringify(
      tagsOf === undefined ? { repositories: names } : { name: tagsOf, tags: names },
    )
    reply(response, entry, 200, body, { 'content-type': 'application/json', link: isLast ? undefined : link })
  }
}

function reply(
  response: ServerResponse,
  entry: FakeRequest,
  status: number,
  body: string | Buffer,
  headers: Record<string, string | undefined> = {},
): void {
  entry.status = status
  const bytes = Buffer.from(body)
  response.setHeader('content-length', String(bytes.length))
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && value !== '') response.setHeader(name, value)
  }
  if (entry.method !== 'HEAD') entry.bytesSent += bytes.length
  response.writeHead(status)
  response.end(entry.method === 'HEAD' ? undefined : bytes)
}

function replyError(
  response: ServerResponse,
  entry: FakeRequest,
  status: number,
  code: string,
  headers: Record<string, string | undefined> = {},
): void {
  const message = code.toLowerCase().replace('_', ' ')
  reply(response, entry, status, JSON.stringify({ errors: [{ code, message, detail: null }] }), {
    'content-type': 'application/json',
    ...headers,
  })
}

async function listen(server: Server): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      resolve(`127.0.0.1:${String((server.address() as AddressInfo).port)}`)
    })
  })
}
