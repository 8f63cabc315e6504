import type { BigIntStats } from 'node:fs'
import type { ByteSource } from '../blob/source.js'
import { identityOf, LocalFile } from '../local/local-file.js'
import type { SafeDirectory } from '../local/safe-directory.js'
import { RegistryFsError } from '../util/errors.js'
import { Semaphore } from '../util/semaphore.js'
import type { ImageEntry, ImageNode, NodeAttributes, NodeOrigin } from './image.js'
import { StorageFile } from './storage-file.js'
import { imageXattrs, isWhiteout, overlayXattrs, typeOf, xattrsOf, type StorageView } from './storage-view.js'

/** A layer's directory that is visible here. */
interface Part {
  readonly layerIndex: number
  readonly directory: SafeDirectory
}

interface Known {
  /** Devices and inodes and, of a file, its state: whether it is still the same. */
  readonly key: string
  readonly node: ImageNode
}

const parallelLookups = 16
/** fuse-overlayfs' where it may not make devices. */
const whiteoutPrefix = Buffer.from('.wh.')
const opaqueMarker = '.wh..wh..opq'

/**
 * A directory of a store's image, as overlayfs would merge it: the layers' directories top-most first, until one is
 * opaque or hidden. Every lookup looks at the store, so that what has changed there is a new node.
 */
export class StorageDirectory implements ImageNode {
  readonly type = 'directory'
  readonly linkName = Buffer.alloc(0)
  readonly attributes: NodeAttributes
  readonly xattrs: ReadonlyMap<string, Buffer>
  readonly #view: StorageView
  /** Top-most first. */
  readonly #parts: readonly Part[]
  readonly #known = new Map<string, Known>()

  private constructor(
    view: StorageView,
    parts: readonly Part[],
    attributes: NodeAttributes,
    xattrs: ReadonlyMap<string, Buffer>,
  ) {
    this.#view = view
    this.#parts = parts
    this.attributes = attributes
    this.xattrs = xattrs
  }

  static root(view: StorageView): StorageDirectory {
    const parts = view.layers.map(({ directory }, layerIndex) => ({ layerIndex, directory })).reverse()
    const attributes = { mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSeconds: 0, mtimeNanoseconds: 0 }
    return new StorageDirectory(
      view,
      parts,
      { ...attributes, type: 'directory', deviceMajor: 0, deviceMinor: 0, linkCount: 1 },
      new Map(),
    )
  }

  get isBare(): boolean {
    return this.xattrs.size === 0
  }

  get origin(): NodeOrigin | undefined {
    const top = this.#parts[0]
    return top === undefined ? undefined : this.#view.originOf(top.layerIndex)
  }

  open(): ByteSource {
    throw new RegistryFsError('IS_A_DIRECTORY', 'a directory has no content')
  }

  async lookup(name: Buffer): Promise<ImageNode | undefined> {
    if (name.subarray(0, whiteoutPrefix.length).equals(whiteoutPrefix)) return undefined
    const parts: Part[] = []
    let first: { readonly part: Part; readonly status: BigIntStats } | undefined
    let key = ''
    for (const [at, part] of this.#parts.entries()) {
      const isLast = at === this.#parts.length - 1
      const status = await part.directory.statOf(name)
      if (status === undefined) {
        const marker = Buffer.concat([whiteoutPrefix, name])
        if (!isLast && marker.length <= 255 && (await part.directory.statOf(marker)) !== undefined) break
        continue
      }
      if (isWhiteout(status)) break
      if (!status.isDirectory()) {
        if (first === undefined) return this.#fileOf(name, part, status)
        break
      }
      first ??= { part, status }
      key += `${String(status.dev)}:${String(status.ino)} `
      const directory = part.directory.child(name)
      parts.push({ layerIndex: part.layerIndex, directory })
      if (!isLast && (await this.#isOpaque(directory))) break
    }
    if (first === undefined) return undefined
    key += identityOf(first.status)
    const known = this.#find(name, key)
    if (known !== undefined) return known
    const xattrs = await xattrsOf(parts[0]?.directory as SafeDirectory)
    if (overlayXattrs(xattrs).has('redirect'))
      throw new RegistryFsError(
        'UNSUPPORTED',
        `${String(parts[0]?.directory.path)}: a renamed overlay directory`,
      )
    const { layerIndex } = first.part
    const attributes = await this.#view.attributesOf(first.status, 'directory', layerIndex, xattrs)
    return this.#keep(name, key, new StorageDirectory(this.#view, parts, attributes, imageXattrs(xattrs)))
  }

  async entries(): Promise<readonly ImageEntry[]> {
    const names = new Map<string, Buffer>()
    for (const { directory } of this.#parts)
      for (const { name } of await directory.list()) names.set(name.toString('latin1'), name)
    const semaphore = new Semaphore(parallelLookups)
    const found = await Promise.all(
      [...names.values()].map(async (name) =>
        semaphore.run(async () => ({ name, node: await this.lookup(name) })),
      ),
    )
    return found
      .flatMap(({ name, node }) => (node === undefined ? [] : { name, type: node.type, node }))
      .sort((a, b) => Buffer.compare(a.name, b.name))
  }

  async *watch(): AsyncIterable<ImageEntry> {
    yield* await this.entries()
  }

  async #fileOf(
    name: Buffer,
    { directory, layerIndex }: Part,
    status: BigIntStats,
  ): Promise<ImageNode | undefined> {
    const type = typeOf(status)
    if (type === undefined) return undefined
    const key = `${String(status.nlink)}:${identityOf(status)}`
    const link = `${String(status.dev)}:${String(status.ino)}:${key}`
    const known = this.#find(name, key) ?? this.#view.linked.get(link)
    if (known !== undefined) return known
    // No user attributes are on the others.
    const xattrs = type === 'file' ? await xattrsOf(directory, name) : new Map<string, Buffer>()
    const overlay = overlayXattrs(xattrs)
    const attributes = await this.#view.attributesOf(status, type, layerIndex, xattrs)
    const isDevice = attributes.type === 'character-device'
    if (overlay.has('whiteout') || (isDevice && attributes.deviceMajor + attributes.deviceMinor === 0))
      return undefined
    const node = new StorageFile({
      attributes,
      origin: this.#view.originOf(layerIndex),
      linkName: type === 'symlink' ? await directory.linkOf(name) : Buffer.alloc(0),
      xattrs: imageXattrs(xattrs),
      file: new LocalFile(
        `${directory.path}/${name.toString()}`,
        directory.handles,
        async () => directory.openFile(name),
        identityOf(status),
      ),
      unsupported: overlay.has('metacopy') ? 'overlay has only its metadata there (metacopy)' : undefined,
    })
    if (status.nlink > 1n) this.#view.linked.set(link, node)
    return this.#keep(name, key, node)
  }

  async #isOpaque(directory: SafeDirectory): Promise<boolean> {
    const opaque = overlayXattrs(await xattrsOf(directory)).get('opaque')
    return opaque === 'y' || (await directory.statOf(opaqueMarker)) !== undefined
  }

  #find(name: Buffer, key: string): ImageNode | undefined {
    const known = this.#known.get(name.toString('latin1'))
    return known?.key === key ? known.node : undefined
  }

  #keep(name: Buffer, key: string, node: ImageNode): ImageNode {
    // Two lookups at a time: the first one's stays.
    const known = this.#find(name, key)
    if (known !== undefined) return known
    this.#known.set(name.toString('latin1'), { key, node })
    return node
  }
}
