/**
 * The store of podman, skopeo and buildah (containers/storage), as they leave it on disk: images.json and layers.json
 * say what there is, and each layer lies unpacked in a directory. Nothing is locked and nothing written.
 */
import type { BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import { isObject, type JsonObject } from '../registry/json-object.js'
import { parseManifest } from '../registry/manifest.js'
import { narrowManifest } from '../registry/narrow-manifest.js'
import type { Platform } from '../registry/platform.js'
import type { Reference, Repository } from '../registry/reference.js'
import type { ImageManifest, ImageSource } from '../registry/registry.js'
import { payloadOf } from '../registry/schema1.js'
import { digestOf, tryParseDigest, verifyDigest, type Digest } from '../util/digest.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import { DirectoryTree } from './directory-tree.js'
import { readDocument } from './file-tree.js'
import { rootlessIdMap, systemIdFiles, type IdFiles, type IdMap } from './id-map.js'
import type { OpenHandles } from './open-handles.js'
import { SafeDirectory } from './safe-directory.js'
import { selectImage } from './select-image.js'
import { storageRoots, storageSurroundings, type StorageSurroundings } from './storage-conf.js'

export interface StoredLayer {
  /** Of what was pulled where the store knows it, else the diff ID. */
  readonly digest: Digest
  readonly diffId: Digest | undefined
  /** Bytes of the tar. */
  readonly size: number
  readonly directory: SafeDirectory
  /** Of the store: owners on disk and in a container. */
  readonly ids: IdMap
}

interface StoredImage {
  readonly id: string
  readonly digest: Digest
  readonly mediaType: undefined
  readonly names: readonly string[]
  readonly layer: string
}

interface Store {
  readonly root: string
  /** `overlay` or `vfs`: in the names of everything. */
  readonly driver: string
  readonly tree: DirectoryTree
}

interface OpenStore {
  readonly store: Store
  readonly images: readonly StoredImage[]
}

const drivers = ['overlay', 'vfs']
const maxListBytes = 64 << 20
/** Podman's own limit is 500. */
const maxLayers = 1000

export class ContainersStorage implements ImageSource {
  readonly handles: OpenHandles
  readonly #platform: Platform
  readonly #surroundings: StorageSurroundings
  readonly #idFiles: IdFiles

  constructor(
    handles: OpenHandles,
    platform: Platform,
    surroundings = storageSurroundings(),
    idFiles = systemIdFiles,
  ) {
    this.handles = handles
    this.#platform = platform
    this.#surroundings = surroundings
    this.#idFiles = idFiles
  }

  async resolveTag(reference: Reference): Promise<Digest | undefined> {
    try {
      return (await this.#find(reference)).image.digest
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  async fetchManifest(reference: Reference): Promise<ImageManifest> {
    const { store, image } = await this.#find(reference)
    const what = `${placeOf(store.root)}: manifest of ${image.id}`
    const bytes = await readDocument(store.tree, `${store.driver}-images/${image.id}/manifest`)
    if (bytes === undefined) throw new RegistryFsError('NOT_FOUND', `${what} is not there`)
    const payload = payloadOf(bytes, what)
    verifyDigest(payload, image.digest, what)
    const top = { digest: image.digest, manifest: parseManifest(payload, undefined, what) }
    return narrowManifest(top, this.#platform, {
      nameOf: () => what,
      manifestOf: async ({ digest }) =>
        Promise.reject(new RegistryFsError('NOT_FOUND', `${what}: ${digest} is not in the store`)),
      // Nothing is read by it: there are no blobs.
      sizeOf: async () => Promise.resolve(0),
    })
  }

  async fetchDocument(repository: Repository, descriptor: Descriptor): Promise<Buffer> {
    if (descriptor.data !== undefined) return descriptor.data
    const name = `=${Buffer.from(descriptor.digest).toString('base64')}`
    const stores = await this.#open(repository)
    for (const { store, images } of stores)
      for (const { id } of images) {
        const bytes = await readDocument(store.tree, `${store.driver}-images/${id}/${name}`).catch(
          () => undefined,
        )
        if (bytes === undefined) continue
        verifyDigest(bytes, descriptor.digest, `${placeOf(store.root)}: config ${descriptor.digest}`)
        return bytes
      }
    throw new RegistryFsError('GONE', `containers-storage: config ${descriptor.digest} is not there`)
  }

  openBlob(): BlobSource {
    throw new RegistryFsError('UNSUPPORTED', 'a store of unpacked layers has no blobs')
  }

  /** Base first. */
  async layersOf(reference: Reference, manifest: ImageManifest): Promise<readonly StoredLayer[]> {
    const { store, image } = await this.#find({ ...reference, digest: manifest.topDigest })
    const root = SafeDirectory.root(this.handles, store.root)
    const ids = await rootlessIdMap(Number((await root.stat()).uid), this.#idFiles)
    const layers = new Map<string, JsonObject>()
    for (const name of ['layers.json', 'volatile-layers.json']) {
      for (const layer of await readList(store, `${store.driver}-layers/${name}`))
        layers.set(textOf(layer['id']), layer)
    }
    const chain: StoredLayer[] = []
    for (let id = image.layer; id !== ''; id = textOf(layers.get(id)?.['parent'])) {
      const layer = layers.get(id)
      if (layer === undefined || chain.length === maxLayers || !/^[A-Za-z0-9_-]+$/.test(id))
        throw new RegistryFsError(
          'CORRUPT',
          `${placeOf(store.root)}: layer ${id} of ${image.id} is not there`,
        )
      const path = store.driver === 'overlay' ? `overlay/${id}/diff` : `${store.driver}/dir/${id}`
      chain.unshift(storedLayer(layer, root.descendant(path), ids))
      // There a layer's directory holds all that is below it, too.
      if (store.driver === 'vfs') break
      if (await isComposed(root.descendant(`overlay/${id}`)))
        throw new RegistryFsError(
          'UNSUPPORTED',
          `${placeOf(store.root)}: layer ${id} is stored with composefs`,
        )
    }
    return chain
  }

  async #find(reference: Reference): Promise<{ store: Store; image: StoredImage }> {
    const stores = await this.#open(reference)
    const { digest, tag } = reference
    const place = stores.map(({ store }) => placeOf(store.root)).join(', ')
    for (const { store, images } of stores) {
      const image = images.find((one) => one.digest === digest)
      // A tag may have moved since the digest was asked for.
      if (image !== undefined) return { store, image }
    }
    if (digest !== undefined)
      throw new RegistryFsError('NOT_FOUND', `${place}: no image with digest ${digest}`)
    const image = selectImage(
      stores.flatMap(({ images }) => images),
      tag,
      place,
    )
    const { store } = stores.find(({ images }) => images.includes(image)) as OpenStore
    return { store, image }
  }

  /** Those of this machine where none is named: the first, and what of the additional ones there is. */
  async #open({ path }: Repository): Promise<readonly OpenStore[]> {
    const [root = '', ...more] = path === '' ? await storageRoots(this.#surroundings) : [path]
    const others = await Promise.all(
      more.map(async (other) =>
        this.#openOne(other).catch((error: unknown) => {
          if (!hasCode(error, 'UNSUPPORTED', 'NOT_FOUND')) throw error
          return []
        }),
      ),
    )
    const own = await this.#openOne(root).catch((error: unknown) => {
      if (others.flat().length === 0) throw error
      return []
    })
    return [...own, ...others.flat()]
  }

  async #openOne(root: string): Promise<readonly OpenStore[]> {
    const tree = new DirectoryTree(this.handles, root)
    for (const driver of drivers) {
      const list = `${driver}-images/images.json`
      if ((await tree.find(list)) === undefined) continue
      const store = { root, driver, tree }
      return [{ store, images: (await readList(store, list)).flatMap(storedImage) }]
    }
    // Throws where there is no such directory.
    await SafeDirectory.root(this.handles, root).stat()
    throw new RegistryFsError(
      'UNSUPPORTED',
      `${placeOf(root)}: no store: neither ${drivers.map((driver) => `${driver}-images/images.json`).join(' nor ')} is in it`,
    )
  }
}

async function isComposed(directory: SafeDirectory): Promise<boolean> {
  return (await directory.statOf('composefs-data')) !== undefined
}

async function readList(store: Store, name: string): Promise<readonly JsonObject[]> {
  const bytes = await readDocument(store.tree, name, maxListBytes)
  if (bytes === undefined) return []
  let list: unknown
  try {
    list = JSON.parse(bytes.toString())
  } catch {
    list = undefined
  }
  if (!Array.isArray(list)) throw new RegistryFsError('CORRUPT', `${placeOf(store.root)}: ${name} is no list`)
  return (list as readonly unknown[]).filter(isObject)
}

function storedImage(value: JsonObject): readonly StoredImage[] {
  const id = textOf(value['id'])
  const digest = tryParseDigest(textOf(value['digest']))
  if (!/^[0-9a-f]{12,128}$/.test(id) || digest === undefined) return []
  const listed: readonly unknown[] = Array.isArray(value['names']) ? value['names'] : []
  const names = listed.filter((name): name is string => typeof name === 'string')
  // As podman looks a short name up here before it asks elsewhere.
  const short = names.flatMap((name) => (name.startsWith('localhost/') ? name.slice(10) : []))
  const all = [...names, ...short, id, id.slice(0, 12)]
  return [{ id, digest, mediaType: undefined, names: all, layer: textOf(value['layer']) }]
}

function storedLayer(layer: JsonObject, directory: SafeDirectory, ids: IdMap): StoredLayer {
  const diffId = tryParseDigest(textOf(layer['diff-digest']))
  const pulled = tryParseDigest(textOf(layer['compressed-diff-digest']))
  const size = layer['diff-size']
  return {
    digest: pulled ?? diffId ?? digestOf(Buffer.from(textOf(layer['id']))),
    diffId,
    size: typeof size === 'number' && Number.isSafeInteger(size) && size > 0 ? size : 0,
    directory,
    ids,
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function placeOf(root: string): string {
  return `containers-storage:[${root}]`
}
