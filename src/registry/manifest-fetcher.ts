import type { DocumentStore } from '../blob/document-store.js'
import { digestOf, tryParseDigest, verifyDigest, type Digest } from '../util/digest.js'
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { Descriptor } from './descriptor.js'
import { parseManifest, type IndexDocument, type Manifest } from './manifest.js'
import { manifestAccept } from './media-types.js'
import { formatPlatform, rankPlatform, type Platform } from './platform.js'
import type { Reference, Repository } from './reference.js'
import { pullScope, type ApiRequest, type RegistryApi } from './registry-api.js'
import type { ImageManifest } from './registry.js'
import { statusError } from './status-check.js'
import { headerOf, type HttpResponse } from './transport.js'

/** containers/image's limit; registries refuse larger ones. */
const manifestBytes = 4 * 1024 * 1024
/** An index in an index is legal (OCI image-spec), deeper ones are not known. */
const maxIndexDepth = 4

interface Fetched {
  readonly digest: Digest
  readonly manifest: Manifest
}

/**
 * Tag or digest to the manifest for our platform. Documents are saved by digest and never asked for twice: Docker Hub
 * counts each manifest GET as a pull, HEAD not.
 */
export class ManifestFetcher {
  readonly #api: RegistryApi
  readonly #documents: DocumentStore
  readonly #platform: Platform
  readonly #log: Logger

  constructor(api: RegistryApi, documents: DocumentStore, platform: Platform, log: Logger) {
    this.#api = api
    this.#documents = documents
    this.#platform = platform
    this.#log = log
  }

  async fetch(reference: Reference): Promise<ImageManifest> {
    const { digest, tag } = reference
    return this.#api.run(`${reference.host}: manifest of ${reference.path}`, async (signal) => {
      const top =
        digest === undefined
          ? await this.#get(reference, tag ?? 'latest', undefined, undefined, signal)
          : await this.#byDigest(reference, digest, undefined, signal)
      return this.#narrow(reference, top, signal)
    })
  }

  async resolve(reference: Reference): Promise<Digest | undefined> {
    if (reference.digest !== undefined) return reference.digest
    const tag = reference.tag ?? 'latest'
    const request = manifestRequest('HEAD', reference, tag)
    return this.#api.run(request.what, async (signal) => {
      const response = await this.#api.send(request, signal)
      response.body.discard()
      if (response.status === 404) return undefined
      const digest = response.status === 200 ? contentDigest(response) : undefined
      if (digest !== undefined) return digest
      // No HEAD there, or no digest in its answer: both are optional (OCI distribution-spec).
      if (![200, 405, 501].includes(response.status)) throw await statusError(response, request)
      try {
        return (await this.#get(reference, tag, undefined, undefined, signal)).digest
      } catch (error) {
        if (hasCode(error, 'NOT_FOUND')) return undefined
        throw error
      }
    })
  }

  async #narrow(repository: Repository, top: Fetched, signal: AbortSignal): Promise<ImageManifest> {
    let current = top
    for (let depth = 0; ; depth++) {
      const { manifest, digest } = current
      const what = `${repository.host}: ${digest} of ${repository.path}`
      if (manifest.kind === 'image') {
        const { mediaType, config, layers } = manifest
        return Object.freeze({ digest, topDigest: top.digest, mediaType, config, layers })
      }
      if (depth === maxIndexDepth) throw new RegistryFsError('LIMIT', `${what}: indexes nested too deeply`)
      const chosen = this.#choose(manifest, what)
      current = await this.#byDigest(repository, chosen.digest, chosen, signal)
    }
  }

  /** The best for our platform; an entry that names none is taken when it is the only one left, or an index. */
  #choose(index: IndexDocument, what: string): Descriptor {
    const entries = index.entries.filter((entry) => !entry.isAttestation)
    const ranked = entries.flatMap(({ descriptor, platform }) => {
      const rank = platform === undefined ? undefined : rankPlatform(this.#platform, platform)
      return rank === undefined ? [] : [{ descriptor, rank }]
    })
    // Stable: of equals the first, as the runtimes do.
    const best = ranked.sort((a, b) => a.rank - b.rank)[0]?.descriptor
    const unnamed = entries.filter((entry) => entry.platform === undefined)
    const fallback =
      unnamed.length === 1 || entries.length === unnamed.length ? unnamed[0]?.descriptor : undefined
    const chosen = best ?? fallback
    if (chosen !== undefined) return chosen
    const offered = [
      ...new Set(entries.map(({ platform }) => (platform === undefined ? '?' : formatPlatform(platform)))),
    ]
    const list = offered.length === 0 ? 'it is empty' : `it has ${offered.slice(0, 20).join(', ')}`
    throw new RegistryFsError('NOT_FOUND', `${what}: no image for ${formatPlatform(this.#platform)}: ${list}`)
  }

  async #byDigest(
    repository: Repository,
    digest: Digest,
    descriptor: Descriptor | undefined,
    signal: AbortSignal,
  ): Promise<Fetched> {
    const stored = await this.#documents.load(digest)
    if (stored === undefined) return this.#get(repository, digest, digest, descriptor, signal)
    const what = `${repository.host}: ${digest} of ${repository.path}`
    return { digest, manifest: parseManifest(stored, descriptor?.mediaType, what) }
  }

  async #get(
    repository: Repository,
    name: string,
    expected: Digest | undefined,
    descriptor: Descriptor | undefined,
    signal: AbortSignal,
  ): Promise<Fetched> {
    const request = manifestRequest('GET', repository, name)
    const { bytes, response } = await this.#api.getDocument(request, manifestBytes, signal)
    const digest = expected ?? contentDigest(response) ?? digestOf(bytes)
    verifyDigest(bytes, digest, request.what)
    const contentType = descriptor?.mediaType ?? headerOf(response, 'content-type')
    const manifest = parseManifest(bytes, contentType, request.what)
    try {
      await this.#documents.save(digest, bytes)
    } catch (error) {
      this.#log.warn({ digest, error: describeError(error) }, 'manifest not saved')
    }
    return { digest, manifest }
  }
}

function manifestRequest(method: 'GET' | 'HEAD', repository: Repository, name: string): ApiRequest {
  const { host, path } = repository
  return {
    method,
    host,
    path: `${path}/manifests/${name}`,
    kind: 'manifest',
    what: `${host}: ${method} manifests/${name} of ${path}`,
    scope: pullScope(repository),
    accept: manifestAccept,
  }
}

/** Undefined also when it is of an algorithm that we cannot verify: then ours counts. */
function contentDigest(response: HttpResponse): Digest | undefined {
  return tryParseDigest(headerOf(response, 'docker-content-digest')?.trim() ?? '')
}
