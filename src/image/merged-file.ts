import { SliceSource } from '../blob/slice-source.js'
import type { ByteSource } from '../blob/source.js'
import { SparseSource } from '../blob/sparse-source.js'
import type { Layer } from '../layer/layer.js'
import type { LayerNode } from '../layer/tree-node.js'
import { blockBytes, paddedBytes } from '../tar/block.js'
import { storedBytesOfMember, type TarMember } from '../tar/member.js'
import { storedBytesOf } from '../tar/sparse-map.js'
import { RegistryFsError } from '../util/errors.js'
import type { ImageEntry, ImageNode, NodeAttributes, NodeOrigin } from './image.js'

const noXattrs: ReadonlyMap<string, Buffer> = new Map()

/** Everything in an image but directories, as one layer has it. */
export class MergedFile implements ImageNode {
  readonly layerIndex: number
  /** Names in the whole image, once they were counted; until then those in its layer count. */
  linkCount: number | undefined = undefined
  readonly #layer: Layer
  readonly #node: LayerNode
  #blocks: number | undefined

  constructor(layer: Layer, layerIndex: number, node: LayerNode) {
    this.#layer = layer
    this.layerIndex = layerIndex
    this.#node = node
  }

  /** Decoded when it is needed: there may be a million of these. */
  get #member(): TarMember {
    return this.#node.member as TarMember
  }

  /** Of hard links in its layer. */
  get linkPaths(): ReadonlySet<string> | undefined {
    return this.#node.linkPaths
  }

  get type(): NodeAttributes['type'] {
    const { type } = this.#node
    return type === 'hardlink' ? 'file' : type
  }

  /** Not kept: the link count grows while the first pass runs. */
  get attributes(): NodeAttributes {
    const member = this.#member
    return {
      ...memberAttributes(member, this.linkCount ?? this.#node.linkCount),
      blocks: this.#dataBlocks(member),
    }
  }

  /** Counted once: what is known of a layer that was read does not change. */
  #dataBlocks(member: TarMember): number | undefined {
    if (member.type !== 'file' || member.unsupported !== undefined) return undefined
    if (this.#blocks !== undefined) return this.#blocks
    const storedBytes = paddedBytes(storedBytesOfMember(member))
    const { zeros } = this.#layer
    if (zeros !== undefined)
      this.#blocks = (storedBytes - zeros.zerosWithin(member.dataOffset, storedBytes)) / blockBytes
    return this.#blocks ?? (member.sparse === undefined ? undefined : storedBytes / blockBytes)
  }

  get origin(): NodeOrigin {
    return memberOrigin(this.#layer, this.layerIndex, this.#member)
  }

  get linkName(): Buffer {
    return this.#member.linkName
  }

  get xattrs(): ReadonlyMap<string, Buffer> {
    return this.#member.xattrs ?? noXattrs
  }

  open(): ByteSource {
    const { type, unsupported, dataOffset, size, sparse } = this.#member
    if (type !== 'file') throw new RegistryFsError('INVALID', `a ${type} has no content here`)
    if (unsupported !== undefined) {
      throw new RegistryFsError(
        'UNSUPPORTED',
        `the file is stored as ${unsupported}, which cannot be read yet`,
        {
          layer: this.#layer.descriptor.digest,
          offset: dataOffset,
        },
      )
    }
    if (sparse === undefined) return new SliceSource(this.#layer, dataOffset, size)
    return new SparseSource(new SliceSource(this.#layer, dataOffset, storedBytesOf(sparse)), size, sparse)
  }

  async openCopied(): Promise<ByteSource> {
    const source = this.open()
    const layer = this.#layer
    const place = { layer: layer.descriptor.digest, offset: this.#member.dataOffset, size: source.size }
    const dataBytes = (): number =>
      blockBytes * (this.attributes.blocks ?? Math.ceil(source.size / blockBytes))
    return layer.copies?.open({ place, layer, source, dataBytes }) ?? Promise.resolve(source)
  }

  async lookup(): Promise<ImageNode | undefined> {
    return Promise.reject(notADirectory(this.#member))
  }

  async entries(): Promise<readonly ImageEntry[]> {
    return Promise.reject(notADirectory(this.#member))
  }

  watch(): AsyncIterable<ImageEntry> {
    throw notADirectory(this.#member)
  }
}

export function memberAttributes(member: TarMember, linkCount: number): NodeAttributes {
  return {
    type: member.type === 'hardlink' ? 'file' : member.type,
    // Linux has no others of symbolic links.
    mode: member.type === 'symlink' ? 0o777 : member.mode,
    uid: member.uid,
    gid: member.gid,
    size: member.type === 'symlink' ? member.linkName.length : member.size,
    mtimeSeconds: member.mtimeSeconds,
    mtimeNanoseconds: member.mtimeNanoseconds,
    deviceMajor: member.deviceMajor,
    deviceMinor: member.deviceMinor,
    linkCount,
  }
}

export function memberOrigin(layer: Layer, layerIndex: number, member: TarMember): NodeOrigin {
  return {
    layer: layer.descriptor.digest,
    layerIndex,
    mediaType: layer.descriptor.mediaType,
    headerOffset: member.headerOffset,
    dataOffset: member.dataOffset,
  }
}

function notADirectory(member: TarMember): RegistryFsError {
  return new RegistryFsError('NOT_A_DIRECTORY', `a ${member.type} has no entries`)
}
