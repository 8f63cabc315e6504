import type { PendingLink } from './pending-links.js'
import { TreeNode, type Children, type TreeEntry } from './tree-node.js'
import type { TreeMembers } from './tree-members.js'

const nothing = new Map<string, TreeEntry>()

/**
 * What a layer has in one directory. Most of a large layer is never looked at: plain files that come one after the other
 * are noted by their numbers, and get their names when somebody asks.
 */
export class Directory implements Children {
  readonly #tree: TreeMembers
  /** Made when it is needed: an empty map is larger than all the rest. */
  #named: Map<string, TreeEntry> = nothing
  /** Of members that are not in the map yet: the first, and the one behind the last, of one run after another. */
  #later: number[] | undefined
  #isPlain = true
  whiteouts: Set<string> | undefined = undefined
  opaque = false
  isNew = false
  /** Hard links in this directory whose target has not come yet. */
  pending: Map<string, PendingLink> | undefined = undefined

  constructor(tree: TreeMembers) {
    this.#tree = tree
  }

  get #entries(): Map<string, TreeEntry> {
    if (this.#later !== undefined) this.#nameThem(this.#later)
    return this.#named
  }

  get size(): number {
    return this.#entries.size
  }

  get isEmpty(): boolean {
    return this.#later === undefined && this.#named.size === 0
  }

  /** The same node for the same name, for as long as it is held. */
  get(name: string): TreeNode | undefined {
    const entry = this.#entries.get(name)
    return typeof entry === 'number' ? this.#nodeOf(entry) : entry
  }

  /** The same, and it stays: something about it is to change. */
  keep(name: string): TreeNode | undefined {
    const node = this.get(name)
    if (node !== undefined) this.#put(name, node)
    return node
  }

  keys(): Iterable<string> {
    return this.#entries.keys()
  }

  *entries(): Generator<readonly [string, TreeNode]> {
    for (const [name, entry] of this.#entries)
      yield [name, typeof entry === 'number' ? this.#nodeOf(entry) : entry]
  }

  *directories(): Generator<readonly [string, TreeNode]> {
    for (const [name, entry] of this.#entries)
      if (entry instanceof TreeNode && entry.directory !== undefined) yield [name, entry]
  }

  find(name: string): TreeEntry | undefined {
    return this.#entries.get(name)
  }

  all(): Iterable<TreeEntry> {
    return this.#entries.values()
  }

  set(name: string, entry: TreeEntry): void {
    if (this.#later !== undefined) this.#nameThem(this.#later)
    this.#put(name, entry)
  }

  /** The same for a plain file by its last name. False: there may be what must be removed with care, so `set` it. */
  setLater(index: number): boolean {
    if (!this.#isPlain || this.pending !== undefined) return false
    const later = (this.#later ??= [index, index])
    if (later.at(-1) !== index) later.push(index, index)
    later[later.length - 1] = index + 1
    return true
  }

  delete(name: string): void {
    this.#entries.delete(name)
  }

  #put(name: string, entry: TreeEntry): void {
    if (this.#named === nothing) this.#named = new Map()
    if (typeof entry !== 'number') this.#isPlain = false
    this.#named.set(name, entry)
  }

  #nameThem(later: readonly number[]): void {
    this.#later = undefined
    const { table } = this.#tree
    for (let run = 0; run < later.length; run += 2)
      for (let index = later[run] as number; index < (later[run + 1] as number); index++)
        this.#put(table.lastNameOf(index), index)
  }

  #nodeOf(memberIndex: number): TreeNode {
    const { nodes } = this.#tree
    let node = nodes.get(memberIndex)
    if (node === undefined) {
      node = new TreeNode(this.#tree, memberIndex)
      nodes.set(memberIndex, node)
    }
    return node
  }
}
