import { isObject, type JsonObject } from '../registry/json-object.js'
import { maxLayers } from '../registry/manifest.js'
import { dockerConfig, dockerLayer, dockerManifest } from '../registry/media-types.js'
import { digestOf, type Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { readDocument, type FileRange, type FileTree } from './file-tree.js'
import type { Layout, NamedImage } from './layout.js'
import { rangeDigest } from './range-digest.js'

const maxImages = 1000
const idPattern = /^[0-9a-f]{64}$/

interface Saved {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

/**
 * What `docker save` wrote before Docker 1.10: `repositories` says which layer is the top of which tag, and each layer's
 * directory has a `json`, which names its parent, and a `layer.tar`. Nothing has a digest there, so each layer is read once.
 */
export class LegacyDockerArchive implements Layout {
  readonly #tree: FileTree
  readonly #images: NamedImage[] = []
  readonly #manifests = new Map<Digest, Buffer>()
  readonly #blobs = new Map<Digest, FileRange>()
  readonly #layers = new Map<string, Saved>()

  private constructor(tree: FileTree) {
    this.#tree = tree
  }

  static async open(tree: FileTree, repositories: Buffer): Promise<LegacyDockerArchive> {
    const archive = new LegacyDockerArchive(tree)
    const names = new Map<string, string[]>()
    for (const [name, tags] of Object.entries(archive.#parse(repositories, 'repositories')))
      for (const [tag, id] of Object.entries(isObject(tags) ? tags : {})) {
        if (typeof id !== 'string') throw archive.#invalid(`the top layer of ${name}:${tag} is no ID`)
        names.set(id, [...(names.get(id) ?? []), `${name}:${tag}`])
      }
    if (names.size > maxImages)
      throw new RegistryFsError('LIMIT', `${tree.path}: more than ${String(maxImages)} images`)
    for (const [id, called] of names) await archive.#add(id, called)
    return archive
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
    return Promise.resolve(this.#blobs.get(digest))
  }

  async #add(top: string, names: readonly string[]): Promise<void> {
    const layers = []
    let config: JsonObject = {}
    for (let id: unknown = top; id !== undefined;) {
      if (typeof id !== 'string' || !idPattern.test(id))
        throw this.#invalid(`${JSON.stringify(id).slice(0, 100)} is no ID of a layer`)
      if (layers.length === maxLayers)
        throw new RegistryFsError('LIMIT', `${this.#tree.path}: more than ${String(maxLayers)} layers`)
      const document = await this.#documentOf(id)
      if (layers.length === 0) config = document
      layers.unshift(await this.#layer(id))
      id = document['parent']
    }
    const { architecture, os, variant, created, config: runConfig } = config
    const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) }
    const made = Buffer.from(
      JSON.stringify({ architecture, os, variant, created, config: runConfig, rootfs }),
    )
    const described = {
      mediaType: dockerConfig,
      digest: digestOf(made),
      size: made.length,
      data: made.toString('base64'),
    }
    const manifest = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: dockerManifest, config: described, layers }),
    )
    const digest = digestOf(manifest)
    this.#manifests.set(digest, manifest)
    this.#images.push({ digest, mediaType: dockerManifest, names })
  }

  async #documentOf(id: string): Promise<JsonObject> {
    const bytes = await readDocument(this.#tree, `${id}/json`)
    if (bytes === undefined) throw this.#invalid(`${id}/json is not in it`)
    return this.#parse(bytes, `${id}/json`)
  }

  #parse(bytes: Buffer, name: string): JsonObject {
    let value: unknown
    try {
      value = JSON.parse(bytes.toString())
    } catch {
      // Told below.
    }
    if (!isObject(value)) throw this.#invalid(`${name} is not a JSON object`)
    return value
  }

  async #layer(id: string): Promise<Saved> {
    let saved = this.#layers.get(id)
    if (saved !== undefined) return saved
    const range = await this.#tree.find(`${id}/layer.tar`)
    if (range === undefined) throw this.#invalid(`${id}/layer.tar is not in it`)
    const digest = await rangeDigest(range)
    this.#blobs.set(digest, range)
    saved = { mediaType: dockerLayer, digest, size: range.size }
    this.#layers.set(id, saved)
    return saved
  }

  #invalid(reason: string): RegistryFsError {
    return new RegistryFsError('CORRUPT', `${this.#tree.path}: not a whole docker archive: ${reason}`)
  }
}
