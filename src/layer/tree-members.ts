import { WeakValues } from '../util/weak-values.js'
import type { MemberTable } from './member-table.js'
import { TreeNode } from './tree-node.js'

/** What all nodes of one tree have in common. */
export class TreeMembers {
  readonly table: MemberTable
  /** Of what is neither a directory nor a hard link, by the member's index: one for each as long as anybody knows it. */
  readonly #nodes = new WeakValues<TreeNode>()

  constructor(table: MemberTable) {
    this.table = table
  }

  nodeAt(memberIndex: number): TreeNode {
    let node = this.#nodes.get(memberIndex)
    if (node === undefined) {
      node = new TreeNode(this, memberIndex)
      this.#nodes.set(memberIndex, node)
    }
    return node
  }
}
