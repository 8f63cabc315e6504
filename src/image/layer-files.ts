import type { Layer } from '../layer/layer.js'
import type { TreeMembers } from '../layer/tree-members.js'
import type { LayerNode } from '../layer/tree-node.js'
import { paddedBytes } from '../tar/block.js'
import type { NodeAttributes, NumberedFiles } from './image.js'
import { dataBlocks, fileAttributes } from './member-attributes.js'
import { MergedFile } from './merged-file.js'

/**
 * What one layer has for an image, directories apart: by the index in the layer's table, for as long as that is the same.
 * Where its members go may turn out otherwise than it seemed (effective-trees.ts); they are the same files all the same.
 */
export class LayerFiles implements NumberedFiles {
  readonly layer: Layer
  readonly layerIndex: number
  #members: TreeMembers
  /** Those of the tree before. */
  #before: TreeMembers | undefined
  readonly #files = new WeakMap<LayerNode, MergedFile>()

  constructor(layer: Layer, layerIndex: number, members: TreeMembers) {
    this.layer = layer
    this.layerIndex = layerIndex
    this.#members = members
  }

  /** The tree that the members are in by now, as far as anybody knows. */
  takeTree(members: TreeMembers): void {
    if (members === this.#members) return
    this.#before = this.#members
    this.#members = members
  }

  /** The same object for the same file, however it was found. */
  fileOf(node: LayerNode): MergedFile {
    const known = this.#files.get(node)
    if (known !== undefined) return known
    const before = this.#before?.nodeAt(node.memberIndex)
    const file = (before && this.#files.get(before)) ?? new MergedFile(this, node)
    file.takeNode(node)
    this.#files.set(node, file)
    return file
  }

  nodeAt(index: number): MergedFile {
    return this.fileOf(this.#members.nodeAt(index))
  }

  typeAt(index: number): NodeAttributes['type'] {
    const type = this.#members.table.typeOf(index)
    return type === 'hardlink' ? 'file' : type
  }

  isBareAt(index: number): boolean {
    return !this.#members.table.peek(index).hasXattrs
  }

  /** Of one name alone, as all are that a listing gives by number. */
  attributesAt(index: number): NodeAttributes {
    const member = this.#members.table.read(index)
    if (!member.isWhole) return this.nodeAt(index).attributes
    const isFile = member.type === 'file'
    return fileAttributes(
      member,
      member.linkBytes,
      1,
      isFile ? dataBlocks(this.layer, member.dataOffset, paddedBytes(member.size)) : undefined,
    )
  }
}
