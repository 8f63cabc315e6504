import { parseDescriptor } from '../registry/descriptor.js'
import { isObject } from '../registry/json-object.js'
import { dockerConfig, dockerLayer } from '../registry/media-types.js'
import { digestOf, tryParseDigest, type Digest } from '../util/digest.js'
import { compressionOf, magicBytes } from './compression.js'
import { readDocument, type FileTree } from './file-tree.js'
import { MadeImages } from './made-images.js'
import { rangeDigest } from './range-digest.js'

const gzipLayer = `${dockerLayer}.gzip`

interface Described {
  readonly digest: Digest
  readonly size: number
}

/**
 * `docker save` and what writes like it: manifest.json lists, for each image, the file of its config and those of its
 * layers. There are no manifests, so they are made: a layer that is not compressed has its diff ID for a digest, others
 * are named by their digest, or else read once to find it.
 */
export class DockerArchive extends MadeImages {
  /** `list`: manifest.json, parsed. */
  static async open(tree: FileTree, list: readonly unknown[]): Promise<DockerArchive> {
    const archive = new DockerArchive(tree)
    archive.checkImages(list.length)
    for (const entry of list) await archive.#add(entry)
    return archive
  }

  async #add(entry: unknown): Promise<void> {
    const {
      Config: configName,
      Layers: layerNames,
      RepoTags: names,
      LayerSources: sources,
    } = isObject(entry) ? entry : {}
    if (typeof configName !== 'string' || !Array.isArray(layerNames))
      throw this.invalid('an image of its manifest.json has no Config or Layers')
    this.checkLayers(layerNames.length)
    const config = await readDocument(this.tree, configName)
    if (config === undefined) throw this.invalid(`${configName} is not in it`)
    const diffIds = diffIdsOf(config)
    const layers = []
    for (const [index, name] of layerNames.entries()) {
      if (typeof name !== 'string') throw this.invalid('a layer of its manifest.json is no name')
      layers.push(await this.#layer(name, diffIds[index], sources))
    }
    const described = { mediaType: dockerConfig, ...(await this.#known(configName, digestOf(config))) }
    this.addImage(
      described,
      layers,
      Array.isArray(names) ? names.filter((tag) => typeof tag === 'string') : [],
    )
  }

  async #layer(name: string, diffId: Digest | undefined, sources: unknown): Promise<object> {
    const range = await this.tree.find(name)
    if (range === undefined) throw this.invalid(`${name} is not in it`)
    const magic = Buffer.alloc(Math.min(magicBytes, range.size))
    await range.file.readInto(range.offset, magic)
    const compression = compressionOf(magic)
    const fromName = tryParseDigest(name.replace(/^blobs\/(sha256|sha512)\/([0-9a-f]+)$/, '$1:$2'))
    const source = isObject(sources) && diffId !== undefined ? sources[diffId] : undefined
    const named = source === undefined ? undefined : parseDescriptor(source, 'LayerSources', this.tree.path)
    const fromSource = named?.size === range.size ? named.digest : undefined
    const plain = compression === undefined ? diffId : undefined
    const digest = fromName ?? plain ?? fromSource ?? (await rangeDigest(range))
    return {
      mediaType: compression === 'gzip' ? gzipLayer : dockerLayer,
      ...(await this.#known(name, digest)),
    }
  }

  async #known(name: string, digest: Digest): Promise<Described> {
    const range = await this.tree.find(name)
    if (range === undefined) throw this.invalid(`${name} is not in it`)
    this.blobs.set(digest, range)
    return { digest, size: range.size }
  }
}

function diffIdsOf(config: Buffer): readonly (Digest | undefined)[] {
  let document: unknown
  try {
    document = JSON.parse(config.toString())
  } catch {
    return []
  }
  const rootfs = isObject(document) ? document['rootfs'] : undefined
  const ids = isObject(rootfs) ? rootfs['diff_ids'] : undefined
  return Array.isArray(ids) ? ids.map((id) => (typeof id === 'string' ? tryParseDigest(id) : undefined)) : []
}
