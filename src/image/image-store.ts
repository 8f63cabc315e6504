/**
 * References to images. A digest never changes. A tag is pinned to the digest that it had at its lookup; after the
 * TTL a HEAD asks whether it still has, but never while something under the image is open. A registry that cannot say,
 * because it is away or does not know us any more, leaves the last known digest in place.
 */
import type { Layers } from '../layer/layers.js'
import type { ContainersStorage } from '../local/containers-storage.js'
import { noConfig, parseConfig } from '../registry/image-config.js'
import { isImageConfig } from '../registry/media-types.js'
import { formatReference, type Reference } from '../registry/reference.js'
import type { ImageManifest, ImageSource } from '../registry/registry.js'
import type { ReadOptions } from '../util/abort.js'
import type { Digest } from '../util/digest.js'
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import { Lazy } from '../util/lazy.js'
import type { Logger } from '../util/log.js'
import { SingleFlight } from '../util/single-flight.js'
import type { Image, Images } from './image.js'
import { MergedImage } from './merged-image.js'
import { StorageImage } from './storage-image.js'
import type { TagStore } from './tag-store.js'

export interface ImageStoreOptions {
  readonly registry: ImageSource
  /** For images of this machine; undefined: there are none. */
  readonly local?: LocalSources | undefined
  readonly layers: Layers
  readonly tags: TagStore
  readonly tagTtlMs: number
  readonly log: Logger
}

/** Where images of this machine are: as blobs, or unpacked. */
export interface LocalSources {
  readonly blobs: ImageSource
  readonly storage: ContainersStorage
}

interface PinnedTag {
  readonly image: Image
  readonly checkedAt: number
  /** At its last lookup it could not be checked. */
  readonly unchecked: Pick<UncheckedTag, 'reason' | 'since'> | undefined
}

/** A tag that is what it was, for its registry cannot be asked. */
export interface UncheckedTag {
  readonly reference: string
  readonly digest: Digest
  readonly reason: string
  /** When the registry last said so; undefined where that is not known. */
  readonly since: Date | undefined
}

/** A flood of lookups must not grow the memory. */
const maximumAnswers = 10_000

export class ImageStore implements Images {
  readonly #options: ImageStoreOptions
  /** By repository and manifest digest. */
  readonly #images = new Map<string, Image>()
  readonly #tags = new Map<string, PinnedTag>()
  /** References that do not exist, and that do without being opened, until when that is believed. */
  readonly #missing = new Map<string, number>()
  readonly #present = new Map<string, number>()
  readonly #opening = new SingleFlight<string, Image>()
  readonly #probing = new SingleFlight<string, Digest | undefined>()
  /** Set by whoever counts open files: whether a tag of this image must not move now. */
  isPinned: (image: Image) => boolean = () => false

  constructor(options: ImageStoreOptions) {
    this.#options = options
  }

  async open(reference: Reference, options: ReadOptions = {}): Promise<Image> {
    const name = formatReference(reference)
    const pinned = this.#tags.get(name)
    if (pinned !== undefined && !pinned.image.isGone) {
      if (this.#isFresh(pinned) || this.isPinned(pinned.image)) return pinned.image
    }
    this.#throwIfMissing(name)
    const work = reference.digest === undefined ? this.#openTag : this.#openDigest
    return this.#opening
      .run(name, async () => work.call(this, name, reference), options)
      .catch((error: unknown) => {
        // A look at this machine costs nothing, and says what is the trouble.
        if (hasCode(error, 'NOT_FOUND') && reference.transport === undefined)
          this.#remember(this.#missing, name)
        throw error instanceof RegistryFsError ? error.within({ image: name }) : error
      })
  }

  async exists(reference: Reference, options: ReadOptions = {}): Promise<boolean> {
    const name = formatReference(reference)
    const pinned = this.#tags.get(name)
    if (pinned !== undefined && this.#isFresh(pinned)) return true
    if (isValid(this.#missing, name)) return false
    if (isValid(this.#present, name)) return true
    if (reference.digest !== undefined) {
      return this.open(reference, options).then(
        () => true,
        (error: unknown) => {
          if (hasCode(error, 'NOT_FOUND', 'UNAUTHORIZED', 'DENIED')) return false
          throw error
        },
      )
    }
    const digest = await this.#probing
      .run(name, async () => this.#sourceOf(reference).resolveTag(reference), options)
      .catch(async (error: unknown) => {
        const last = await this.#lastOf(name, reference)
        if (last !== undefined && isNoAnswer(error)) return last
        // Registries that hide what they have answer so for what they do not have.
        if (hasCode(error, 'NOT_FOUND', 'UNAUTHORIZED', 'DENIED')) return undefined
        throw error
      })
    this.#remember(digest === undefined ? this.#missing : this.#present, name)
    return digest !== undefined
  }

  opened(): readonly Image[] {
    return [...this.#images.values()]
  }

  /** Tags whose registry could not be asked when they were last looked up. */
  unchecked(): readonly UncheckedTag[] {
    return [...this.#tags].flatMap(([reference, { image, unchecked }]) =>
      unchecked === undefined ? [] : [{ reference, digest: image.manifest.topDigest, ...unchecked }],
    )
  }

  async #openDigest(_name: string, reference: Reference): Promise<Image> {
    return this.#imageOf(reference, await this.#sourceOf(reference).fetchManifest(reference))
  }

  async #openTag(name: string, reference: Reference): Promise<Image> {
    const { tags, log } = this.#options
    const registry = this.#sourceOf(reference)
    const isRemote = reference.transport === undefined
    const last = await this.#lastOf(name, reference)
    let manifest: ImageManifest | undefined
    let unchecked: PinnedTag['unchecked']
    if (last !== undefined) {
      const now = await registry.resolveTag(reference).catch(async (error: unknown) => {
        if (!isNoAnswer(error)) throw error
        unchecked = { reason: describeError(error), since: await tags.checkedAt(name) }
        log.warn(
          { image: name, digest: last, reason: unchecked.reason },
          'the tag cannot be checked, using what it was',
        )
        return last
      })
      if (now === undefined) {
        this.#tags.delete(name)
        throw new RegistryFsError('NOT_FOUND', 'the tag is no longer there')
      }
      manifest = await registry.fetchManifest({ ...reference, digest: now })
      if (now !== last) log.info({ image: name, from: last, to: now }, 'the tag has moved')
    }
    manifest ??= await registry.fetchManifest(reference)
    const image = await this.#imageOf(reference, manifest)
    this.#tags.set(name, { image, checkedAt: performance.now(), unchecked })
    if (isRemote && manifest.topDigest !== last) await tags.save(name, manifest.topDigest)
    else if (isRemote && unchecked === undefined) await tags.touch(name)
    return image
  }

  /** What a tag of a registry was when it could last be asked, in this process or one before. */
  async #lastOf(name: string, reference: Reference): Promise<Digest | undefined> {
    if (reference.transport !== undefined) return undefined
    return this.#tags.get(name)?.image.manifest.topDigest ?? this.#options.tags.load(name)
  }

  async #imageOf(reference: Reference, manifest: ImageManifest): Promise<Image> {
    const key = `${reference.transport ?? ''}:${reference.host}/${reference.path}@${manifest.digest}`
    const known = this.#images.get(key)
    if (known !== undefined && !known.isGone) return known
    const image = await this.#make(key, reference, manifest)
    this.#images.set(key, image)
    return image
  }

  async #make(key: string, reference: Reference, manifest: ImageManifest): Promise<Image> {
    const { layers, local } = this.#options
    const registry = this.#sourceOf(reference)
    const config = new Lazy(async () =>
      // An artifact's config can be anything, and says nothing about its layers.
      isImageConfig(manifest.config.mediaType)
        ? parseConfig(await registry.fetchDocument(reference, manifest.config))
        : noConfig,
    )
    if (reference.transport === 'containers-storage' && local !== undefined) {
      const stored = await local.storage.layersOf(reference, manifest)
      return new StorageImage({ reference, manifest, config, layers: stored })
    }
    const { transport = '', host, path } = reference
    const origin = { host: `${transport}:${host}`, repository: path, image: key }
    const opened = manifest.layers.map((descriptor, index) =>
      layers.get(
        descriptor,
        origin,
        () => registry.openBlob(reference, descriptor),
        async () => {
          const { diffIds } = await config.get()
          // A config that does not list every layer (artifacts, hand-made images) proves nothing.
          return diffIds.length === manifest.layers.length ? diffIds[index] : undefined
        },
      ),
    )
    const isGone = (): boolean => opened.some((layer) => layers.isGone(layer, origin))
    return new MergedImage({ reference, manifest, layers: opened, config, isGone, log: this.#options.log })
  }

  #sourceOf({ transport }: Reference): ImageSource {
    const { registry, local } = this.#options
    if (transport === undefined) return registry
    if (local === undefined) throw new RegistryFsError('UNSUPPORTED', 'there are no local images here')
    return transport === 'containers-storage' ? local.storage : local.blobs
  }

  #isFresh(pinned: PinnedTag): boolean {
    return performance.now() - pinned.checkedAt < this.#options.tagTtlMs
  }

  #throwIfMissing(name: string): void {
    if (isValid(this.#missing, name))
      throw new RegistryFsError('NOT_FOUND', 'there is no image by this name in the registry', {
        image: name,
      })
  }

  #remember(answers: Map<string, number>, name: string): void {
    if (answers.size >= maximumAnswers) answers.delete(answers.keys().next().value ?? '')
    answers.set(name, performance.now() + this.#options.tagTtlMs)
  }
}

/**
 * The registry has not said that the tag is not there: it is away, does not let us in any more, or something else answers
 * in its place (a captive portal, an expired certificate).
 */
function isNoAnswer(error: unknown): boolean {
  return hasCode(error, 'UNAVAILABLE', 'TIMEOUT', 'RATE_LIMITED', 'UNAUTHORIZED', 'DENIED', 'PROTOCOL')
}

function isValid(answers: Map<string, number>, name: string): boolean {
  const until = answers.get(name)
  if (until === undefined) return false
  if (performance.now() < until) return true
  answers.delete(name)
  return false
}
