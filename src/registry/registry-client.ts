import { BytesBlob } from '../blob/bytes-blob.js'
import type { DocumentStore } from '../blob/document-store.js'
import type { BlobSource } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import { digestAlgorithm, digestOf, verifyDigest, type Digest } from '../util/digest.js'
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { SingleFlight } from '../util/single-flight.js'
import type { CredentialStore } from './credentials/credential-store.js'
import { AuthTransport } from './decorators/auth.js'
import { ConcurrencyTransport } from './decorators/concurrency.js'
import { InsecureHttpTransport } from './decorators/insecure-http.js'
import { LoopbackHttpsTransport } from './decorators/loopback-https.js'
import { LoggingTransport } from './decorators/logging.js'
import { RedirectTransport } from './decorators/redirect.js'
import { RetryTransport } from './decorators/retry.js'
import { WarningTransport } from './decorators/warnings.js'
import type { Descriptor } from './descriptor.js'
import { ForeignBlob } from './foreign-blob.js'
import { InsecureHosts } from './insecure-hosts.js'
import { Lifetime } from './lifetime.js'
import { Listing } from './listing.js'
import { ManifestFetcher } from './manifest-fetcher.js'
import { MirrorConfig, type PulledBy } from './mirrors/mirror-config.js'
import { MirrorHealth } from './mirrors/mirror-health.js'
import { MirroredBlob } from './mirrors/mirrored-blob.js'
import { askInOrder, sitesInOrder } from './mirrors/mirrored-requests.js'
import type { Site, SiteUse } from './mirrors/site.js'
import type { Source } from './mirrors/source.js'
import type { Platform } from './platform.js'
import { ProxyRules } from './proxy.js'
import { RangelessHosts } from './rangeless-hosts.js'
import { formatReference, formatRepository, type Reference, type Repository } from './reference.js'
import { pullScope, RegistryApi } from './registry-api.js'
import type { BlobHome, ImageManifest, Registry, RegistryCounters } from './registry.js'
import { RemoteBlob } from './remote-blob.js'
import { budgetOf, type RetryBudget } from './retry-budget.js'
import { TrustStore, type TrustStoreOptions } from './tls/trust-store.js'
import type { HttpRequest, HttpResponse, Transport } from './transport.js'
import { UndiciTransport } from './undici-transport.js'

export interface RegistryClientOptions {
  readonly documents: DocumentStore
  readonly log: Logger
  /** What an index is narrowed to. */
  readonly platform: Platform
  /** `host[:port]`s whose certificates are not verified, and that may speak plain http. */
  readonly insecureHosts?: readonly string[]
  /** Undefined: every registry is asked anonymously. */
  readonly credentials?: CredentialStore
  readonly trust?: TrustStoreOptions
  /** Undefined: there are no mirrors. */
  readonly mirrors?: MirrorConfig
  /** Put between the sockets and everything else. */
  readonly observe?: (sockets: Transport) => Transport
  /** `registryfs/1.2.3`. */
  readonly userAgent?: string
  readonly timeouts?: Partial<RegistryTimeouts>
  /** In place of what retry-budget.ts says, whoever waits. */
  readonly retry?: Partial<RetryBudget>
  readonly socketsPerHost?: number
  /** How often in a row a blob's body may break off without progress. */
  readonly maxResumes?: number
}

export interface RegistryTimeouts {
  readonly connectMs: number
  /** No byte for so long: the connection is given up and the request tried again. */
  readonly stallMs: number
  /** For a manifest, config, token or listing, all retries included. */
  readonly documentMs: number
  /** For one read of a blob, all retries included; a read of 8 MiB at 30 kB/s. */
  readonly blobReadMs: number
}

const defaultTimeouts: RegistryTimeouts = {
  connectMs: 10_000,
  stallMs: 20_000,
  documentMs: 60_000,
  blobReadMs: 300_000,
}
const socketsPerHost = 8
const documentBytes = 4 * 1024 * 1024
/** A mirror has so long for a document. */
const mirrorDocumentMs = 15_000

/** Registries over HTTP: puts the pieces of this folder together. transport.ts says how a request goes. */
export class RegistryClient implements Registry {
  readonly counters: RegistryCounters = {
    requests: 0,
    manifestRequests: 0,
    blobRequests: 0,
    tokenRequests: 0,
    blobBytes: 0,
    retries: 0,
  }
  readonly #options: RegistryClientOptions
  readonly #timeouts: RegistryTimeouts
  readonly #insecureHosts: InsecureHosts
  readonly #lifetime = new Lifetime()
  readonly #sockets: UndiciTransport
  readonly #api: RegistryApi
  readonly #manifests: ManifestFetcher
  readonly #fetchingManifests = new SingleFlight<string, ImageManifest>()
  readonly #resolvingTags = new SingleFlight<string, Digest | undefined>()
  readonly #fetchingDocuments = new SingleFlight<Digest, Buffer>()
  readonly #listingRepositories = new SingleFlight<string, readonly string[] | undefined>()
  readonly #listingTags = new SingleFlight<string, readonly string[] | undefined>()
  readonly #rangelessHosts: RangelessHosts
  readonly #mirrors: MirrorConfig
  readonly #mirrorHealth: MirrorHealth
  readonly #mirrorTransport: Transport

  constructor(options: RegistryClientOptions) {
    this.#options = options
    const mostResting = Math.max(1, (options.socketsPerHost ?? socketsPerHost) >> 1)
    this.#rangelessHosts = new RangelessHosts(options.log, mostResting)
    this.#timeouts = { ...defaultTimeouts, ...options.timeouts }
    const mirrors = options.mirrors ?? new MirrorConfig([], undefined)
    this.#mirrors = mirrors
    this.#mirrorHealth = new MirrorHealth(options.log)
    const insecureHosts = new InsecureHosts([...(options.insecureHosts ?? []), ...mirrors.insecureHosts])
    this.#insecureHosts = insecureHosts
    this.#sockets = new UndiciTransport({
      userAgent: options.userAgent ?? 'registryfs',
      isUnverified: (host) => insecureHosts.isConfigured(host),
      socketsPerHost: options.socketsPerHost ?? socketsPerHost,
      trust: new TrustStore(options.trust ?? {}, options.log),
      proxies: new ProxyRules(),
      connectTimeoutMs: this.#timeouts.connectMs,
      stallMs: this.#timeouts.stallMs,
      onSent: (request) => {
        this.#count(request)
      },
    })
    const sockets = new WarningTransport(options.observe?.(this.#sockets) ?? this.#sockets, options.log)
    const transport = this.#decorate(sockets, insecureHosts, options.retry)
    // The next in turn is asked rather than the same once more.
    this.#mirrorTransport = this.#decorate(sockets, insecureHosts, { ...options.retry, attempts: 1 })
    this.#api = new RegistryApi({
      transport,
      lifetime: this.#lifetime,
      insecureHosts,
      deadlineMs: this.#timeouts.documentMs,
    })
    this.#manifests = new ManifestFetcher(this.#api, options.documents, options.platform, options.log)
  }

  async fetchManifest(reference: Reference, options?: ReadOptions): Promise<ImageManifest> {
    const uses: readonly SiteUse[] = reference.digest === undefined ? ['resolves', 'pulls'] : ['pulls']
    const fetch = async (): Promise<ImageManifest> =>
      this.#ask(reference, uses, async ({ manifests, repository }) =>
        manifests.fetch({ ...reference, ...repository }),
      )
    return this.#fetchingManifests.run(formatReference(reference), fetch, options)
  }

  async resolveTag(reference: Reference, options?: ReadOptions): Promise<Digest | undefined> {
    const resolve = async (): Promise<Digest | undefined> =>
      this.#ask(reference, ['resolves'], async ({ manifests, repository, isMirror, name }) => {
        const digest = await manifests.resolve({ ...reference, ...repository })
        if (digest === undefined && isMirror)
          throw new RegistryFsError('NOT_FOUND', `${name}: no such tag in ${repository.path}`)
        return digest
      })
    return this.#resolvingTags.run(formatReference(reference), resolve, options)
  }

  async fetchDocument(home: BlobHome, descriptor: Descriptor, options?: ReadOptions): Promise<Buffer> {
    const fetch = async (): Promise<Buffer> =>
      this.#ask(home, ['pulls'], async (site) => this.#fetchDocument(site, descriptor))
    return this.#fetchingDocuments.run(descriptor.digest, fetch, options)
  }

  openBlob(home: BlobHome, descriptor: Descriptor): BlobSource {
    if (descriptor.data !== undefined) return new BytesBlob(descriptor.data)
    const sites = this.#sitesOf(home)
    const open = (site: Site): RemoteBlob => this.#openRemote(site, descriptor)
    const only = sites.length === 1 ? sites[0] : undefined
    const blob =
      only !== undefined ? open(only) : new MirroredBlob(descriptor, sites, open, this.#mirrorHealth)
    const urls = (descriptor.urls ?? []).map((url) => new URL(url))
    const allowed = urls.filter((url) => this.#isAllowed(url, home))
    if (allowed.length === 0) return blob
    const primary = sites.at(-1) as Site
    return new ForeignBlob([blob, ...allowed.map((url) => this.#openRemote(primary, descriptor, url))])
  }

  async listRepositories(host: string, options?: ReadOptions): Promise<readonly string[] | undefined> {
    const list = async (): Promise<readonly string[] | undefined> => {
      const source = this.#mirrors.catalogSourceOf(host)
      if (source === undefined) return undefined
      const site = this.#siteOf(source, false)
      return this.#listingOf(site).repositories(site.repository.host)
    }
    return this.#listingRepositories.run(host, list, options)
  }

  async listTags(repository: Repository, options?: ReadOptions): Promise<readonly string[] | undefined> {
    const list = async (): Promise<readonly string[] | undefined> => {
      const primary = this.#primaryOf(repository)
      return this.#listingOf(primary).tags(primary.repository)
    }
    return this.#listingTags.run(formatRepository(repository), list, options)
  }

  /** Some registry or mirror has answered a range with the whole blob. */
  get isWithoutRanges(): boolean {
    return this.#rangelessHosts.size > 0
  }

  /** Names of those that are asked before the primary. Throws DENIED and INVALID. */
  mirrorsOf(image: BlobHome): readonly string[] {
    return this.#sitesOf(image).flatMap(({ isMirror, name }) => (isMirror ? [name] : []))
  }

  /** For who looks into how the primary of a repository behaves: `path` is below /v2/, or below the repository. */
  async probe(
    repository: Repository,
    path: string,
    { anonymous }: { readonly anonymous: boolean },
  ): Promise<HttpResponse> {
    const { api, repository: there } = this.#primaryOf(repository)
    const what = `${there.host}: GET ${path === '' ? '/v2/' : path}`
    return api.run(what, async (signal) => {
      const response = await api.transport.send({
        method: 'GET',
        url: api.urlOf(there.host, anonymous ? path : `${there.path}/${path}`),
        headers: { accept: 'application/json, application/vnd.oci.image.index.v1+json' },
        kind: 'list',
        what,
        authorization: anonymous ? undefined : { host: there.host, scope: pullScope(there) },
        signal,
      })
      response.body.discard()
      return response
    })
  }

  async close(): Promise<void> {
    this.#lifetime.close()
    await this.#sockets.close()
  }

  async #ask<T>(image: BlobHome, uses: readonly SiteUse[], work: (site: Site) => Promise<T>): Promise<T> {
    const order = sitesInOrder(this.#sitesOf(image), uses, this.#mirrorHealth)
    return askInOrder(order, this.#mirrorHealth, work)
  }

  /** The primary last. What has a tag is asked for by it, though its digest may be known by now. */
  #sitesOf(image: BlobHome): readonly Site[] {
    const pulledBy: PulledBy = image.tag === undefined ? 'digest' : 'tag'
    const { mirrors, primary } = this.#mirrors.sourcesOf(image, pulledBy)
    return [...mirrors.map((source) => this.#siteOf(source, true)), this.#siteOf(primary, false)]
  }

  #primaryOf(repository: Repository): Site {
    return this.#siteOf(this.#mirrors.sourcesOf(repository, 'digest').primary, false)
  }

  #siteOf(source: Source, isMirror: boolean): Site {
    const { endpoint, repository } = source
    const name = endpoint?.base.href ?? repository.host
    if (endpoint === undefined && !isMirror)
      return { ...source, name, isMirror, api: this.#api, manifests: this.#manifests }
    const { documents, platform, log } = this.#options
    const api = new RegistryApi({
      transport: isMirror ? this.#mirrorTransport : this.#api.transport,
      lifetime: this.#lifetime,
      insecureHosts: this.#insecureHosts,
      endpoint,
      deadlineMs: isMirror
        ? Math.min(mirrorDocumentMs, this.#timeouts.documentMs)
        : this.#timeouts.documentMs,
    })
    return { ...source, name, isMirror, api, manifests: new ManifestFetcher(api, documents, platform, log) }
  }

  #listingOf(site: Site): Listing {
    return new Listing(site.api, this.#options.log)
  }

  #openRemote(site: Site, descriptor: Descriptor, foreignUrl?: URL): RemoteBlob {
    return new RemoteBlob(site.repository, descriptor, {
      api: site.api,
      log: this.#options.log,
      counters: this.counters,
      deadlineMs: this.#timeouts.blobReadMs,
      maxResumes: site.isMirror ? 1 : (this.#options.maxResumes ?? 5),
      resumeBaseMs: this.#options.retry?.baseMs ?? 200,
      rangelessHosts: this.#rangelessHosts,
      ...(foreignUrl === undefined ? {} : { foreignUrl }),
    })
  }

  /** Of a descriptor's URL: whoever wrote the manifest chose it. */
  #isAllowed(url: URL, { host, path }: Repository): boolean {
    if (url.username !== '' || url.password !== '') return false
    if (url.protocol === 'https:') return true
    return (
      url.protocol === 'http:' && this.#insecureHosts.allowsPlainHttp(url.host, this.#api.urlOf(host, path))
    )
  }

  #decorate(
    sockets: Transport,
    insecureHosts: InsecureHosts,
    retry: Partial<RetryBudget> | undefined,
  ): Transport {
    const { log, credentials } = this.#options
    const { socketsPerHost: most = socketsPerHost } = this.#options
    const logged = new LoggingTransport(sockets, log)
    const loopback = new LoopbackHttpsTransport(logged, (host) => insecureHosts.schemeOf(host) === 'http')
    const insecure = new InsecureHttpTransport(loopback, (host) => insecureHosts.isConfigured(host), log)
    const retried = new RetryTransport(new ConcurrencyTransport(insecure, most), {
      budgetOf: (request) => ({ ...budgetOf(request), ...retry }),
      log,
      onRetry: () => this.counters.retries++,
    })
    const authorized = new AuthTransport(retried, {
      lifetime: this.#lifetime,
      log,
      deadlineMs: this.#timeouts.documentMs,
      allowsPlainHttp: (host, origin) => insecureHosts.allowsPlainHttp(host, origin),
      findCredential: async (repository, options) => (await credentials?.find(repository, options)) ?? {},
    })
    return new RedirectTransport(authorized, (host) => insecureHosts.isConfigured(host))
  }

  async #fetchDocument({ api, repository }: Site, descriptor: Descriptor): Promise<Buffer> {
    const { digest, size, data } = descriptor
    if (data !== undefined) return data
    const { host, path } = repository
    const what = `${host}: GET blobs/${digest} of ${path}`
    if (size > documentBytes)
      throw new RegistryFsError('LIMIT', `${what}: ${String(size)} bytes are too many for a document`)
    const empty = Buffer.alloc(0)
    if (size === 0 && digestOf(empty, digestAlgorithm(digest)) === digest) return empty
    const stored = await this.#options.documents.load(digest)
    if (stored !== undefined) return stored
    const request = {
      host,
      path: `${path}/blobs/${digest}`,
      kind: 'blob',
      what,
      scope: pullScope(repository),
    } as const
    const bytes = await api.run(what, async (signal) => {
      try {
        return await api.getDocument(request, size, signal, (document) => {
          verifyDigest(document.bytes, digest, what)
          return document.bytes
        })
      } catch (error) {
        if (!hasCode(error, 'NOT_FOUND')) throw error
        throw new RegistryFsError('GONE', `${host}: blob ${digest} of ${path} is no longer in the registry`)
      }
    })
    this.counters.blobBytes += bytes.length
    try {
      await this.#options.documents.save(digest, bytes)
    } catch (error) {
      this.#options.log.warn({ digest, error: describeError(error) }, 'document not saved')
    }
    return bytes
  }

  #count(request: HttpRequest): void {
    this.counters.requests++
    if (request.kind === 'manifest') this.counters.manifestRequests++
    if (request.kind === 'blob') this.counters.blobRequests++
    if (request.kind === 'token') this.counters.tokenRequests++
  }
}
