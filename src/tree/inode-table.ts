import { RegistryFsError } from '../util/errors.js'
import type { BareInodes } from './bare-inodes.js'
import type { NodeNumber, NumberedNodes, TreeNode } from './node.js'

/** A file's number within one mount; a safe integer, never used twice. */
export type Inode = number & { readonly __brand: 'Inode' }

/** FUSE_ROOT_ID. */
export const rootInode = 1 as Inode

/** So many numbered nodes next to each other have inodes next to each other; those of a directory mostly are. */
const blockNodes = 256

interface Held {
  readonly node: TreeNode
  lookups: number
}

interface Block {
  readonly nodes: NumberedNodes
  /** Of its first node. */
  readonly index: number
  readonly inode: number
  /** Of each node that no object holds. */
  readonly lookups: Float64Array
  /** How many nodes have any. */
  held: number
}

/**
 * Which node an inode number stands for. The kernel (or the binding in its place) holds a node by its lookup count;
 * when that is forgotten the table lets go of the node, but a node that lives on keeps its number, so that a tree
 * walker sees one number for one directory however often it comes by. What is a number already (NumberedNodes) is
 * held without an object: `find` over a large image would make several for each of its files.
 */
export class InodeTable {
  readonly #numbers = new WeakMap<TreeNode, Inode>()
  readonly #held = new Map<Inode, Held>()
  readonly #blocks = new WeakMap<NumberedNodes, Map<number, Block>>()
  /** By inode divided by `blockNodes`: those of which any node is held. */
  readonly #heldBlocks = new Map<number, Block>()
  readonly #bare: BareInodes | undefined
  #next = 2
  #numberedHeld = 0

  /** `bare`: is told of those of which the kernel is about to hear. */
  constructor(root: TreeNode, bare?: BareInodes) {
    this.#bare = bare
    this.#numbers.set(root, rootInode)
    // Never forgotten: the kernel does not look the root up.
    this.#held.set(rootInode, { node: root, lookups: 1 })
  }

  /** The number that stat and readdir show; holds nothing. */
  numberOf(node: TreeNode): Inode {
    const { number } = node
    if (number !== undefined) return this.numberAt(number)
    let inode = this.#numbers.get(node)
    if (inode === undefined) {
      inode = this.#next++ as Inode
      this.#numbers.set(node, inode)
    }
    return inode
  }

  numberAt({ nodes, index }: NodeNumber): Inode {
    const block = this.#blockOf(nodes, index)
    return (block.inode + index - block.index) as Inode
  }

  /** One lookup more. The object is kept: it may know more than its number says. */
  acquire(node: TreeNode): Inode {
    const inode = this.numberOf(node)
    const held = this.#held.get(inode)
    if (held === undefined) this.#held.set(inode, { node, lookups: 1 + this.#take(inode) })
    else held.lookups++
    if (node.isBare) this.#bare?.add(inode)
    return inode
  }

  /** The same of a number. */
  acquireAt({ nodes, index }: NodeNumber): Inode {
    const block = this.#blockOf(nodes, index)
    const at = index - block.index
    const inode = (block.inode + at) as Inode
    const held = this.#held.get(inode)
    if (held === undefined) this.#add(block, at, 1)
    else held.lookups++
    if (this.#bare !== undefined && nodes.isBareAt(index)) this.#bare.add(inode)
    return inode
  }

  forget(inode: Inode, count: number): void {
    if (inode === rootInode) return
    const held = this.#held.get(inode)
    if (held !== undefined) {
      held.lookups -= count
      if (held.lookups <= 0) this.#held.delete(inode)
      return
    }
    const block = this.#heldBlocks.get(blockOf(inode))
    if (block !== undefined) this.#add(block, inode - block.inode, -count)
  }

  /** Throws GONE for a number that is not held. */
  get(inode: Inode): TreeNode {
    const held = this.#held.get(inode)
    if (held !== undefined) return held.node
    const block = this.#heldBlocks.get(blockOf(inode))
    const at = block === undefined ? 0 : inode - block.inode
    if (block?.lookups[at]) return block.nodes.nodeAt(block.index + at)
    throw new RegistryFsError('GONE', `inode ${String(inode)} is not known any more`)
  }

  get size(): number {
    return this.#held.size + this.#numberedHeld
  }

  #blockOf(nodes: NumberedNodes, index: number): Block {
    let blocks = this.#blocks.get(nodes)
    if (blocks === undefined) {
      blocks = new Map()
      this.#blocks.set(nodes, blocks)
    }
    const first = index - (index % blockNodes)
    let block = blocks.get(first)
    if (block === undefined) {
      const inode = Math.ceil(this.#next / blockNodes) * blockNodes
      this.#next = inode + blockNodes
      block = { nodes, index: first, inode, lookups: new Float64Array(blockNodes), held: 0 }
      blocks.set(first, block)
    }
    return block
  }

  /** Never below 0: of what nobody holds nothing can be forgotten. */
  #add(block: Block, at: number, count: number): void {
    const before = block.lookups[at] ?? 0
    const after = Math.max(0, before + count)
    block.lookups[at] = after
    const change = Number(after > 0) - Number(before > 0)
    block.held += change
    this.#numberedHeld += change
    if (block.held === 0) this.#heldBlocks.delete(blockOf(block.inode))
    else if (change > 0 && block.held === 1) this.#heldBlocks.set(blockOf(block.inode), block)
  }

  /** The lookups of a numbered node, which are an object's from now on. */
  #take(inode: Inode): number {
    const block = this.#heldBlocks.get(blockOf(inode))
    const lookups = block?.lookups[inode - block.inode] ?? 0
    if (block !== undefined && lookups > 0) this.#add(block, inode - block.inode, -lookups)
    return lookups
  }
}

function blockOf(inode: number): number {
  return Math.floor(inode / blockNodes)
}
