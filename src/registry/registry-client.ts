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
import { LoggingTransport } from './decorators/logging.js'
import { RedirectTransport } from './decorators/redirect.js'
import { RetryTransport } from './decorators/retry.js'
import type { Descriptor } from './descriptor.js'
import { ForeignBlob } from './foreign-blob.js'
import { InsecureHosts } from './insecure-hosts.js'
import { Lifetime } from './lifetime.js'
import { Listing } from './listing.js'
import { ManifestFetcher } from './manifest-fetcher.js'
import type { Platform } from './platform.js'
import { RangelessHosts } from './rangeless-hosts.js'
import { formatReference, formatRepository, type Reference, type Repository } from './reference.js'
import { pullScope, RegistryApi } from './registry-api.js'
import type { ImageManifest, Registry, RegistryCounters } from './registry.js'
import { RemoteBlob } from './remote-blob.js'
import { budgetOf, type RetryBudget } from './retry-budget.js'
import type { HttpRequest, Transport } from './transport.js'
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
  readonly #listing: Listing
  readonly #fetchingManifests = new SingleFlight<string, ImageManifest>()
  readonly #resolvingTags = new SingleFlight<string, Digest | undefined>()
  readonly #fetchingDocuments = new SingleFlight<Digest, Buffer>()
  readonly #listingRepositories = new SingleFlight<string, readonly string[] | undefined>()
  readonly #listingTags = new SingleFlight<string, readonly string[] | undefined>()
  readonly #rangelessHosts: RangelessHosts

  constructor(options: RegistryClientOptions) {
    this.#options = options
    this.#rangelessHosts = new RangelessHosts(options.log)
    this.#timeouts = { ...defaultTimeouts, ...options.timeouts }
    const insecureHosts = new InsecureHosts(options.insecureHosts ?? [])
    this.#insecureHosts = insecureHosts
    this.#sockets = new UndiciTransport({
      userAgent: options.userAgent ?? 'registryfs',
      isUnverified: (host) => insecureHosts.isConfigured(host),
      socketsPerHost: options.socketsPerHost ?? socketsPerHost,
      connectTimeoutMs: this.#timeouts.connectMs,
      stallMs: this.#timeouts.stallMs,
      onSent: (request) => {
        this.#count(request)
      },
    })
    const transport = this.#decorate(this.#sockets, insecureHosts)
    this.#api = new RegistryApi({
      transport,
      lifetime: this.#lifetime,
      insecureHosts,
      deadlineMs: this.#timeouts.documentMs,
    })
    this.#manifests = new ManifestFetcher(this.#api, options.documents, options.platform, options.log)
    this.#listing = new Listing(this.#api, options.log)
  }

  async fetchManifest(reference: Reference, options?: ReadOptions): Promise<ImageManifest> {
    const fetch = async (): Promise<ImageManifest> => this.#manifests.fetch(reference)
    return this.#fetchingManifests.run(formatReference(reference), fetch, options)
  }

  async resolveTag(reference: Reference, options?: ReadOptions): Promise<Digest | undefined> {
    const resolve = async (): Promise<Digest | undefined> => this.#manifests.resolve(reference)
    return this.#resolvingTags.run(formatReference(reference), resolve, options)
  }

  async fetchDocument(
    repository: Repository,
    descriptor: Descriptor,
    options?: ReadOptions,
  ): Promise<Buffer> {
    const fetch = async (): Promise<Buffer> => this.#fetchDocument(repository, descriptor)
    return this.#fetchingDocuments.run(descriptor.digest, fetch, options)
  }

  openBlob(repository: Repository, descriptor: Descriptor): BlobSource {
    if (descriptor.data !== undefined) return new BytesBlob(descriptor.data)
    const blob = this.#openRemote(repository, descriptor)
    const urls = (descriptor.urls ?? []).map((url) => new URL(url))
    const allowed = urls.filter((url) => this.#isAllowed(url, repository))
    if (allowed.length === 0) return blob
    return new ForeignBlob([blob, ...allowed.map((url) => this.#openRemote(repository, descriptor, url))])
  }

  async listRepositories(host: string, options?: ReadOptions): Promise<readonly string[] | undefined> {
    return this.#listingRepositories.run(host, async () => this.#listing.repositories(host), options)
  }

  async listTags(repository: Repository, options?: ReadOptions): Promise<readonly string[] | undefined> {
    return this.#listingTags.run(
      formatRepository(repository),
      async () => this.#listing.tags(repository),
      options,
    )
  }

  async close(): Promise<void> {
    this.#lifetime.close()
    await this.#sockets.close()
  }

  #openRemote(repository: Repository, descriptor: Descriptor, foreignUrl?: URL): RemoteBlob {
    return new RemoteBlob(repository, descriptor, {
      api: this.#api,
      log: this.#options.log,
      counters: this.counters,
      deadlineMs: this.#timeouts.blobReadMs,
      maxResumes: this.#options.maxResumes ?? 5,
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

  #decorate(sockets: Transport, insecureHosts: InsecureHosts): Transport {
    const { log, retry, credentials } = this.#options
    const { socketsPerHost: most = socketsPerHost } = this.#options
    const logged = new LoggingTransport(sockets, log)
    const insecure = new InsecureHttpTransport(logged, (host) => insecureHosts.isConfigured(host), log)
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

  async #fetchDocument(repository: Repository, descriptor: Descriptor): Promise<Buffer> {
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
    const bytes = await this.#api.run(what, async (signal) => {
      try {
        return (await this.#api.getDocument(request, size, signal)).bytes
      } catch (error) {
        if (!hasCode(error, 'NOT_FOUND')) throw error
        throw new RegistryFsError('GONE', `${host}: blob ${digest} of ${path} is no longer in the registry`)
      }
    })
    this.counters.blobBytes += bytes.length
    verifyDigest(bytes, digest, what)
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
