import { RegistryFsError } from '../util/errors.js'
import type { TreeNode } from './node.js'

/** A file's number within one mount; a safe integer, never used twice. */
export type Inode = number & { readonly __brand: 'Inode' }

/** FUSE_ROOT_ID. */
export const rootInode = 1 as Inode

interface Held {
  readonly node: TreeNode
  lookups: number
}

/**
 * Which node an inode number stands for. The kernel (or the binding in its place) holds a node by its lookup count;
 * when that is forgotten the table lets go of the node, but a node that lives on keeps its number, so that a tree
 * walker sees one number for one directory however often it comes by.
 */
export class InodeTable {
  readonly #numbers = new WeakMap<TreeNode, Inode>()
  readonly #held = new Map<Inode, Held>()
  #next = 2

  constructor(root: TreeNode) {
    this.#numbers.set(root, rootInode)
    // Never forgotten: the kernel does not look the root up.
    this.#held.set(rootInode, { node: root, lookups: 1 })
  }

  /** The number that stat and readdir show; holds nothing. */
  numberOf(node: TreeNode): Inode {
    let inode = this.#numbers.get(node)
    if (inode === undefined) {
      inode = this.#next++ as Inode
      this.#numbers.set(node, inode)
    }
    return inode
  }

  /** One lookup more. */
  acquire(node: TreeNode): Inode {
    const inode = this.numberOf(node)
    const held = this.#held.get(inode)
    if (held === undefined) this.#held.set(inode, { node, lookups: 1 })
    else held.lookups++
    return inode
  }

  forget(inode: Inode, count: number): void {
    const held = this.#held.get(inode)
    if (held === undefined || inode === rootInode) return
    held.lookups -= count
    if (held.lookups <= 0) this.#held.delete(inode)
  }

  /** Throws GONE for a number that is not held. */
  get(inode: Inode): TreeNode {
    const held = this.#held.get(inode)
    if (held === undefined) throw new RegistryFsError('GONE', `inode ${String(inode)} is not known any more`)
    return held.node
  }

  get size(): number {
    return this.#held.size
  }
}
