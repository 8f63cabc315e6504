import type { BigIntStats } from 'node:fs'
import type { StoredLayer } from '../local/containers-storage.js'
import type { SafeDirectory } from '../local/safe-directory.js'
import { readXattrs } from '../util/xattrs.js'
import type { ImageNode, NodeAttributes, NodeOrigin } from './image.js'
import { overridden, overrideXattrs } from './override-stat.js'

/** What the nodes of an image in a store share. */
export class StorageView {
  /** Base first. */
  readonly layers: readonly StoredLayer[]
  /** Files with several names, by device and inode. */
  readonly linked = new Map<string, ImageNode>()
  readonly #overrides = new Map<number, Promise<string | undefined>>()

  constructor(layers: readonly StoredLayer[]) {
    this.layers = layers
  }

  originOf(layerIndex: number): NodeOrigin {
    const { digest } = this.layers[layerIndex] as StoredLayer
    return { layer: digest, layerIndex, mediaType: 'inode/directory', headerOffset: 0, dataOffset: 0 }
  }

  /** As a container sees them; `xattrs` are those of what has this status. */
  async attributesOf(
    status: BigIntStats,
    type: NodeAttributes['type'],
    layerIndex: number,
    xattrs: ReadonlyMap<string, Buffer>,
  ): Promise<NodeAttributes> {
    const { ids } = this.layers[layerIndex] as StoredLayer
    const onDisk = attributesOf(status, type)
    const mapped = { ...onDisk, uid: ids.uid(onDisk.uid), gid: ids.gid(onDisk.gid) }
    if (!overrideXattrs.some((name) => xattrs.has(name))) return mapped
    return overridden(mapped, xattrs.get((await this.#overrideOf(layerIndex)) ?? ''))
  }

  /** As fuse-overlayfs: in a layer whose root has none they are an image's own and mean nothing. */
  async #overrideOf(layerIndex: number): Promise<string | undefined> {
    const { directory } = this.layers[layerIndex] as StoredLayer
    let name = this.#overrides.get(layerIndex)
    if (name === undefined) {
      name = xattrsOf(directory).then((xattrs) => overrideXattrs.find((each) => xattrs.has(each)))
      this.#overrides.set(layerIndex, name)
      name.catch(() => this.#overrides.delete(layerIndex))
    }
    return name
  }
}

/** The kernel's and fuse-overlayfs' own, rootful and rootless. */
const overlayXattr = /^(?:trusted|user)\.(?:overlay|fuseoverlayfs)\.(.+)$/

/** By their name without prefix: `opaque`, `redirect`, `metacopy`, `whiteout`. */
export function overlayXattrs(xattrs: ReadonlyMap<string, Buffer>): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const [name, value] of xattrs) {
    const key = overlayXattr.exec(name)?.[1]
    if (key !== undefined) found.set(key, value.toString('latin1'))
  }
  return found
}

/** Those of the image: labels, ACLs and the like are the host's. */
export function imageXattrs(xattrs: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  return new Map(
    [...xattrs].filter(
      ([name]) =>
        !overlayXattr.test(name) &&
        !overrideXattrs.includes(name) &&
        (name.startsWith('user.') || name === 'security.capability'),
    ),
  )
}

/** Of the directory itself without a name. */
export async function xattrsOf(
  directory: SafeDirectory,
  name?: Buffer,
): Promise<ReadonlyMap<string, Buffer>> {
  return directory.at(name, async (path) => readXattrs(path))
}

/** Overlay's: a character device 0/0 hides what the layers below have. */
export function isWhiteout(status: BigIntStats): boolean {
  return status.isCharacterDevice() && status.rdev === 0n
}

/** Undefined for sockets, which no tar holds. */
export function typeOf(status: BigIntStats): NodeAttributes['type'] | undefined {
  if (status.isFile()) return 'file'
  if (status.isDirectory()) return 'directory'
  if (status.isSymbolicLink()) return 'symlink'
  if (status.isCharacterDevice()) return 'character-device'
  if (status.isBlockDevice()) return 'block-device'
  return status.isFIFO() ? 'fifo' : undefined
}

function attributesOf(status: BigIntStats, type: NodeAttributes['type']): NodeAttributes {
  const { rdev, mtimeNs } = status
  const second = 1_000_000_000n
  const nanoseconds = ((mtimeNs % second) + second) % second
  return {
    type,
    mode: Number(status.mode & 0o7777n),
    uid: Number(status.uid),
    gid: Number(status.gid),
    size: type === 'file' || type === 'symlink' ? Number(status.size) : 0,
    mtimeSeconds: Number((mtimeNs - nanoseconds) / second),
    mtimeNanoseconds: Number(nanoseconds),
    // makedev(3).
    deviceMajor: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
    deviceMinor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn & 0xffffffffn)),
    linkCount: type === 'directory' ? 1 : Number(status.nlink),
    blocks: type === 'file' ? Number(status.blocks) : undefined,
  }
}
