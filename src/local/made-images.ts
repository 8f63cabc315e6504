import { maxLayers } from '../registry/manifest.js'
import { dockerManifest } from '../registry/media-types.js'
import { digestOf, type Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import type { FileRange, FileTree } from './file-tree.js'
import type { Layout, NamedImage } from './layout.js'

const maxImages = 1000

/** Images of a docker archive, which has no manifests: they are made. */
export abstract class MadeImages implements Layout {
  protected readonly tree: FileTree
  protected readonly blobs = new Map<Digest, FileRange>()
  readonly #images: NamedImage[] = []
  readonly #manifests = new Map<Digest, Buffer>()

  protected constructor(tree: FileTree) {
    this.tree = tree
  }

  get images(): readonly NamedImage[] {
    return this.#images
  }

  imageAt(index: number): NamedImage | undefined {
    return this.#images[index]
  }

  async manifestBytes(digest: Digest): Promise<Buffer | undefined> {
    return Promise.resolve(this.#manifests.get(digest))
  }

  async findBlob(digest: Digest): Promise<FileRange | undefined> {
    return Promise.resolve(this.blobs.get(digest))
  }

  /** `config` and `layers`: descriptors, base first. */
  protected addImage(config: object, layers: readonly object[], names: readonly string[]): void {
    const manifest = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: dockerManifest, config, layers }),
    )
    const digest = digestOf(manifest)
    this.#manifests.set(digest, manifest)
    this.#images.push({ digest, mediaType: dockerManifest, names })
  }

  protected checkImages(count: number): void {
    if (count > maxImages) throw this.#tooMany(`${String(maxImages)} images`)
  }

  protected checkLayers(count: number): void {
    if (count > maxLayers) throw this.#tooMany(`${String(maxLayers)} layers`)
  }

  protected invalid(reason: string): RegistryFsError {
    return new RegistryFsError('CORRUPT', `${this.tree.path}: not a whole docker archive: ${reason}`)
  }

  #tooMany(what: string): RegistryFsError {
    return new RegistryFsError('LIMIT', `${this.tree.path}: more than ${what}`)
  }
}
