import { parseManifest } from '../registry/manifest.js'
import { ociIndex } from '../registry/media-types.js'
import { digestAlgorithm, digestHex, digestOf, type Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { readDocument, type FileRange, type FileTree } from './file-tree.js'
import type { Layout, NamedImage } from './layout.js'

/** OCI image-spec annotations.md; containerd and BuildKit write the whole name beside it. */
const nameAnnotations = ['org.opencontainers.image.ref.name', 'io.containerd.image.name']

/** OCI image-spec image-layout.md. */
export class OciLayout implements Layout {
  readonly images: readonly NamedImage[]
  readonly #tree: FileTree
  readonly #index: Buffer
  readonly #listed: readonly NamedImage[]

  private constructor(
    tree: FileTree,
    index: Buffer,
    listed: readonly NamedImage[],
    images: readonly NamedImage[],
  ) {
    this.#tree = tree
    this.#index = index
    this.#listed = listed
    this.images = images
  }

  static async open(tree: FileTree, index: Buffer): Promise<OciLayout> {
    const parsed = parseManifest(index, undefined, `${tree.path}: index.json`)
    if (parsed.kind !== 'index')
      throw new RegistryFsError('UNSUPPORTED', `${tree.path}: its index.json is not an index`)
    const listed = parsed.entries.map(({ descriptor, platform, isAttestation }) => ({
      digest: descriptor.digest,
      mediaType: descriptor.mediaType,
      names: nameAnnotations.flatMap((key) => descriptor.annotations[key] ?? []),
      platform,
      isAttestation,
    }))
    const images = listed.filter((entry) => !entry.isAttestation)
    // One image for several platforms, written without an index of its own.
    const isOne =
      images.length > 1 && images.every(({ names, platform }) => names.length === 0 && platform !== undefined)
    const whole = { digest: digestOf(index), mediaType: ociIndex, names: [] }
    return Promise.resolve(new OciLayout(tree, index, listed, isOne ? [whole] : images))
  }

  imageAt(index: number): NamedImage | undefined {
    return this.#listed[index]
  }

  async manifestBytes(digest: Digest): Promise<Buffer | undefined> {
    if (digest === digestOf(this.#index)) return this.#index
    return readDocument(this.#tree, blobName(digest))
  }

  async findBlob(digest: Digest): Promise<FileRange | undefined> {
    return this.#tree.find(blobName(digest))
  }
}

function blobName(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}
