import type { DocumentStore } from '../blob/document-store.js'
import { digestOf, tryParseDigest, verifyDigest, type Digest } from '../util/digest.js'
import { describeError, hasCode } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { fetchBlobSize } from './blob-size.js'
import type { Descriptor } from './descriptor.js'
import { parseManifest } from './manifest.js'
import { manifestAccept } from './media-types.js'
import { narrowManifest, type FoundManifest } from './narrow-manifest.js'
import type { Platform } from './platform.js'
import type { Reference, Repository } from './reference.js'
import { pullScope, type ApiDocument, type ApiRequest, type RegistryApi } from './registry-api.js'
import type { ImageManifest } from './registry.js'
import { payloadOf } from './schema1.js'
import { statusError } from './status-check.js'
import { headerOf, type HttpResponse } from './transport.js'

/** containers/image's limit; registries refuse larger ones. */
const manifestBytes = 4 * 1024 * 1024

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

  async #narrow(repository: Repository, top: FoundManifest, signal: AbortSignal): Promise<ImageManifest> {
    return narrowManifest(top, this.#platform, {
      nameOf: (digest) => `${repository.host}: ${digest} of ${repository.path}`,
      manifestOf: async (descriptor) =>
        (await this.#byDigest(repository, descriptor.digest, descriptor, signal)).manifest,
      sizeOf: async (digest) => fetchBlobSize(this.#api, repository, digest, signal),
    })
  }

  async #byDigest(
    repository: Repository,
    digest: Digest,
    descriptor: Descriptor | undefined,
    signal: AbortSignal,
  ): Promise<FoundManifest> {
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
  ): Promise<FoundManifest> {
    const request = manifestRequest('GET', repository, name)
    const verified = (document: ApiDocument) => {
      // What has the digest, and so what is kept: for a signed one the document without its signatures.
      const bytes = payloadOf(document.bytes, request.what)
      const digest = expected ?? contentDigest(document.response) ?? digestOf(bytes)
      verifyDigest(bytes, digest, request.what)
      return { bytes, digest, contentType: headerOf(document.response, 'content-type') }
    }
    const { bytes, digest, contentType } = await this.#api.getDocument(
      request,
      manifestBytes,
      signal,
      verified,
    )
    const manifest = parseManifest(bytes, descriptor?.mediaType ?? contentType, request.what)
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
