import { payloadOf } from '../registry/schema1.js'
import { digestAlgorithm, digestHex, digestOf, type Digest } from '../util/digest.js'
import { readDocument, type FileRange, type FileTree } from './file-tree.js'
import type { Layout, NamedImage } from './layout.js'

/** `dir:` of skopeo and podman, and podman's oci-dir before 3.3: manifest.json and blobs side by side, named by their hex. */
export class FlatLayout implements Layout {
  readonly images: readonly NamedImage[]
  readonly #tree: FileTree
  readonly #manifest: Buffer

  constructor(tree: FileTree, manifest: Buffer) {
    this.#tree = tree
    this.#manifest = payloadOf(manifest, `${tree.path}: manifest.json`)
    this.images = [{ digest: digestOf(this.#manifest), mediaType: undefined, names: [] }]
  }

  imageAt(index: number): NamedImage | undefined {
    return this.images[index]
  }

  async manifestBytes(digest: Digest): Promise<Buffer | undefined> {
    if (digest === digestOf(this.#manifest, digestAlgorithm(digest))) return this.#manifest
    return readDocument(this.#tree, `${digestHex(digest)}.manifest.json`)
  }

  async findBlob(digest: Digest): Promise<FileRange | undefined> {
    return this.#tree.find(digestHex(digest))
  }
}
