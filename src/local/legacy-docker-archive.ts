import { isObject, type JsonObject } from '../registry/json-object.js'
import { dockerConfig, dockerLayer } from '../registry/media-types.js'
import { digestOf, type Digest } from '../util/digest.js'
import { readDocument, type FileTree } from './file-tree.js'
import { MadeImages } from './made-images.js'
import { rangeDigest } from './range-digest.js'

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
export class LegacyDockerArchive extends MadeImages {
  readonly #layers = new Map<string, Saved>()

  static async open(tree: FileTree, repositories: Buffer): Promise<LegacyDockerArchive> {
    const archive = new LegacyDockerArchive(tree)
    const names = new Map<string, string[]>()
    for (const [name, tags] of Object.entries(archive.#parse(repositories, 'repositories')))
      for (const [tag, id] of Object.entries(isObject(tags) ? tags : {})) {
        if (typeof id !== 'string') throw archive.invalid(`the top layer of ${name}:${tag} is no ID`)
        names.set(id, [...(names.get(id) ?? []), `${name}:${tag}`])
      }
    archive.checkImages(names.size)
    for (const [id, called] of names) await archive.#add(id, called)
    return archive
  }

  async #add(top: string, names: readonly string[]): Promise<void> {
    const layers = []
    let config: JsonObject = {}
    for (let id: unknown = top; id !== undefined;) {
      if (typeof id !== 'string' || !idPattern.test(id))
        throw this.invalid(`${JSON.stringify(id).slice(0, 100)} is no ID of a layer`)
      this.checkLayers(layers.length + 1)
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
    this.addImage(described, layers, names)
  }

  async #documentOf(id: string): Promise<JsonObject> {
    const bytes = await readDocument(this.tree, `${id}/json`)
    if (bytes === undefined) throw this.invalid(`${id}/json is not in it`)
    return this.#parse(bytes, `${id}/json`)
  }

  #parse(bytes: Buffer, name: string): JsonObject {
    let value: unknown
    try {
      value = JSON.parse(bytes.toString())
    } catch {
      // Told below.
    }
    if (!isObject(value)) throw this.invalid(`${name} is not a JSON object`)
    return value
  }

  async #layer(id: string): Promise<Saved> {
    let saved = this.#layers.get(id)
    if (saved !== undefined) return saved
    const range = await this.tree.find(`${id}/layer.tar`)
    if (range === undefined) throw this.invalid(`${id}/layer.tar is not in it`)
    const digest = await rangeDigest(range)
    this.blobs.set(digest, range)
    saved = { mediaType: dockerLayer, digest, size: range.size }
    this.#layers.set(id, saved)
    return saved
  }
}
