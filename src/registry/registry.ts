import type { BlobSource } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import type { Digest } from '../util/digest.js'
import type { Descriptor } from './descriptor.js'
import type { Reference, Repository } from './reference.js'

/** The manifest of one image: an index or manifest list has already been narrowed to the platform. */
export interface ImageManifest {
  /** Of the image manifest itself. */
  readonly digest: Digest
  /** What the tag or reference pointed at: an index's digest, or the same as `digest`. */
  readonly topDigest: Digest
  readonly mediaType: string
  readonly config: Descriptor
  /** Base first. */
  readonly layers: readonly Descriptor[]
}

/** A repository, by the way of one of its images: some mirrors are for tags only, others for digests. */
export type BlobHome = Repository & Partial<Pick<Reference, 'tag'>>

/** Where images come from: registries, or places on this machine. Errors are RegistryFsError. */
export interface ImageSource {
  /** Tag or digest to image manifest. A digest is answered from the document store without any request. */
  fetchManifest(reference: Reference, options?: ReadOptions): Promise<ImageManifest>

  /** What the tag points at now (HEAD; not counted as a pull by Docker Hub). Undefined: no such tag or repository. */
  resolveTag(reference: Reference, options?: ReadOptions): Promise<Digest | undefined>

  /** A small blob whole (a config), verified against its digest; LIMIT above 4 MiB. */
  fetchDocument(home: BlobHome, descriptor: Descriptor, options?: ReadOptions): Promise<Buffer>

  /** Ranged access to a layer; makes no request by itself. */
  openBlob(home: BlobHome, descriptor: Descriptor): BlobSource
}

/** What the rest of registryfs asks of registries. Implemented by RegistryClient. */
export interface Registry extends ImageSource {
  /** `_catalog`, all pages up to a limit; undefined where the registry has none or refuses. */
  listRepositories(host: string, options?: ReadOptions): Promise<readonly string[] | undefined>

  /** `tags/list`, all pages up to a limit; undefined when there is no such repository. */
  listTags(repository: Repository, options?: ReadOptions): Promise<readonly string[] | undefined>

  readonly counters: RegistryCounters

  close(): Promise<void>
}

/** Since start; for status.json and the benchmark. */
export interface RegistryCounters {
  requests: number
  manifestRequests: number
  blobRequests: number
  tokenRequests: number
  /** Body bytes of blobs that arrived. */
  blobBytes: number
  retries: number
}
