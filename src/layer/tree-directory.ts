import type { PendingLink } from './pending-links.js'
import { TreeNode, type Children, type TreeEntry } from './tree-node.js'
import type { TreeMembers } from './tree-members.js'

/** Names of more files than this are kept once they were asked for: making them again would take too long. */
const maximumForgotten = 4096
/** Of numbers, two for each. Members that come in turn with those of other directories are looked up each time. */
const maximumRuns = 64
const nothing = new Map<string, TreeEntry>()

/**
 * What a layer has in one directory. Most of a large layer is looked at rarely or never: of a directory of plain files
 * only their numbers are noted, and their names are there for as long as somebody needs them.
 */
export class Directory implements Children {
  readonly #tree: TreeMembers
  /** Made when it is needed: an empty map is larger than all the rest. */
  #named: Map<string, TreeEntry> = nothing
  /** Instead, of members that are all plain: the first, and the one behind the last, of one run after another. */
  #runs: number[] | undefined
  /** The names of those before `#namedUpTo`. */
  #names: WeakRef<Map<string, TreeEntry>> | undefined
  #namedUpTo = 0
  whiteouts: Set<string> | undefined = undefined
  opaque = false
  isNew = false
  /** A member has gone in here, or further down, whatever became of it. */
  isMade = false
  /** Hard links in this directory whose target has not come yet. */
  pending: Map<string, PendingLink> | undefined = undefined

  constructor(tree: TreeMembers) {
    this.#tree = tree
  }

  get #entries(): Map<string, TreeEntry> {
    if (this.#runs === undefined) return this.#named
    const names = this.#namesOf(this.#runs)
    if (names.size > maximumForgotten) this.#keepNames()
    return names
  }

  get size(): number {
    return this.#entries.size
  }

  /** The same node for the same name, for as long as it is held. */
  get(name: string): TreeNode | undefined {
    const entry = this.#entries.get(name)
    return typeof entry === 'number' ? this.#tree.nodeAt(entry) : entry
  }

  /** The same, and it stays: something about it is to change. */
  keep(name: string): TreeNode | undefined {
    const node = this.get(name)
    if (node !== undefined) this.set(name, node)
    return node
  }

  keys(): Iterable<string> {
    return this.#entries.keys()
  }

  *entries(): Generator<readonly [string, TreeNode]> {
    for (const [name, entry] of this.#entries)
      yield [name, typeof entry === 'number' ? this.#tree.nodeAt(entry) : entry]
  }

  listed(): Iterable<readonly [string, TreeEntry]> {
    return this.#entries
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
    this.#keepNames()
    if (this.#named === nothing) this.#named = new Map()
    this.#named.set(name, entry)
  }

  /** The same for a plain file by the last part of its name. False: it must be `set`. */
  addPlain(index: number): boolean {
    if (this.#named !== nothing || this.pending !== undefined) return false
    const runs = (this.#runs ??= [index, index])
    if (runs.at(-1) !== index) {
      if (runs.length >= maximumRuns) {
        this.#keepNames()
        return false
      }
      runs.push(index, index)
    }
    runs[runs.length - 1] = index + 1
    return true
  }

  delete(name: string): void {
    this.#keepNames()
    this.#named.delete(name)
  }

  #keepNames(): void {
    if (this.#runs === undefined) return
    this.#named = this.#namesOf(this.#runs)
    this.#runs = undefined
    this.#names = undefined
  }

  /** The same map as long as somebody goes through it, for he goes on with what was added. */
  #namesOf(runs: readonly number[]): Map<string, TreeEntry> {
    const known = this.#names?.deref()
    const names = known ?? new Map<string, TreeEntry>()
    const begin = known === undefined ? 0 : this.#namedUpTo
    const end = runs.at(-1) ?? 0
    if (known !== undefined && begin === end) return known
    const { table } = this.#tree
    for (let run = 0; run < runs.length; run += 2)
      for (let index = Math.max(begin, runs[run] as number); index < (runs[run + 1] as number); index++)
        names.set(table.lastNameOf(index), index)
    if (known === undefined) this.#names = new WeakRef(names)
    this.#namedUpTo = end
    return names
  }
}
