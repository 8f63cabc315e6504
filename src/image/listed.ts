import type { FileNumber, ImageEntry, ImageNode, NodeAttributes } from './image.js'
import type { LayerFiles } from './layer-files.js'

/** An entry of a listing that has its node. */
export class ListedNode implements ImageEntry {
  /** The name in Latin-1. */
  readonly key: string
  readonly node: ImageNode

  constructor(key: string, node: ImageNode) {
    this.key = key
    this.node = node
  }

  get name(): Buffer {
    return Buffer.from(this.key, 'latin1')
  }

  get type(): NodeAttributes['type'] {
    return this.node.type
  }
}

/** One that is a number. */
export class ListedFile implements ImageEntry, FileNumber {
  readonly key: string
  readonly files: LayerFiles
  readonly index: number

  constructor(key: string, files: LayerFiles, index: number) {
    this.key = key
    this.files = files
    this.index = index
  }

  get name(): Buffer {
    return Buffer.from(this.key, 'latin1')
  }

  get type(): NodeAttributes['type'] {
    return this.files.typeAt(this.index)
  }

  get node(): ImageNode {
    return this.files.nodeAt(this.index)
  }

  get number(): FileNumber {
    return this
  }
}
