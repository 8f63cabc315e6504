import { SliceSource } from '../blob/slice-source.js'
import type { ByteSource } from '../blob/source.js'
import { SparseSource } from '../blob/sparse-source.js'
import type { Layer } from '../layer/layer.js'
import { MemberBytes } from '../layer/member-bytes.js'
import type { LayerNode } from '../layer/tree-node.js'
import { blockBytes, paddedBytes } from '../tar/block.js'
import { storedBytesOfMember, type TarMember } from '../tar/member.js'
import { storedBytesOf } from '../tar/sparse-map.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { FileNumber, ImageEntry, ImageNode, NodeAttributes, NodeOrigin } from './image.js'
import type { LayerFiles } from './layer-files.js'
import { dataBlocks, fileAttributes } from './member-attributes.js'

const noXattrs: ReadonlyMap<string, Buffer> = new Map()

/** Everything in an image but directories, as one layer has it. */
export class MergedFile implements ImageNode {
  /** How many more names the whole image has than its layer, once they were counted. */
  #linksElsewhere = 0
  readonly #files: LayerFiles
  #node: LayerNode
  #blocks: number | undefined

  constructor(files: LayerFiles, node: LayerNode) {
    this.#files = files
    this.#node = node
  }

  get #layer(): Layer {
    return this.#files.layer
  }

  get layerIndex(): number {
    return this.#files.layerIndex
  }

  get number(): FileNumber {
    return { files: this.#files, index: this.#node.memberIndex }
  }

  /** Decoded when it is needed: there may be a million of these. */
  get #member(): TarMember {
    return this.#node.member as TarMember
  }

  /** Of hard links in its layer. */
  get linkPaths(): ReadonlySet<string> | undefined {
    return this.#node.linkPaths
  }

  /** The same member's, where its layer's members turned out to go elsewhere. */
  takeNode(node: LayerNode): void {
    if (node === this.#node) return
    this.#node = node
    this.#linksElsewhere = 0
  }

  /** In the whole image, as far as its layer was read; those that come in its layer are added. */
  setLinkCount(count: number): void {
    this.#linksElsewhere = count - this.#node.linkCount
  }

  get type(): NodeAttributes['type'] {
    const { type } = this.#node
    return type === 'hardlink' ? 'file' : type
  }

  /** Not kept: the link count grows while the first pass runs. */
  get attributes(): NodeAttributes {
    const member = this.#member
    const linkCount = Math.max(1, this.#node.linkCount + this.#linksElsewhere)
    return fileAttributes(member, member.linkName.length, linkCount, this.#dataBlocks(member))
  }

  /** Counted once: what is known of a layer that was read does not change. */
  #dataBlocks(member: TarMember): number | undefined {
    if (member.type !== 'file' || member.unsupported !== undefined) return undefined
    if (this.#blocks !== undefined) return this.#blocks
    const storedBytes = paddedBytes(storedBytesOfMember(member))
    this.#blocks = dataBlocks(this.#layer, member.dataOffset, storedBytes)
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

  /** A member is what it is, whatever becomes of its layer. */
  get isBare(): boolean {
    return this.#files.isBareAt(this.#node.memberIndex)
  }

  open(): ByteSource {
    return this.#open(this.#bytes())
  }

  /** Throws GONE where its layer's tree is not the one that it was found in: a new lookup finds what is there now. */
  #bytes(): MemberBytes {
    const layer = this.#layer
    const { table } = this.#node.tree
    if (layer.tree?.members !== table)
      throw new RegistryFsError('GONE', 'what was known of the layer is not certain any more', {
        layer: layer.descriptor.digest,
      })
    return new MemberBytes(layer, table, this.#node.memberIndex)
  }

  #open(bytes: MemberBytes): ByteSource {
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
    if (sparse === undefined) return new SliceSource(bytes, dataOffset, size)
    return new SparseSource(new SliceSource(bytes, dataOffset, storedBytesOf(sparse)), size, sparse)
  }

  async openCopied(): Promise<ByteSource> {
    const bytes = this.#bytes()
    const source = this.#open(bytes)
    const layer = this.#layer
    const place = { layer: layer.descriptor.digest, offset: this.#member.dataOffset, size: source.size }
    const dataBytes = (): number =>
      blockBytes * (this.attributes.blocks ?? Math.ceil(source.size / blockBytes))
    const settle = async (options: ReadOptions): Promise<void> => bytes.settle(options)
    return layer.copies?.open({ place, layer, source, settle, dataBytes }) ?? Promise.resolve(source)
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
