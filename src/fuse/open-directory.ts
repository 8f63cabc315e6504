import type { Inode, InodeTable } from '../tree/inode-table.js'
import type { TreeEntry, TreeNode } from '../tree/node.js'
import { Lazy } from '../util/lazy.js'
import type { Attributes, DirectoryEntry } from './binding.js'
import { attributesOfNode, shownAttributes } from './shown-attributes.js'

/** `.` and `..` come first. */
const dotEntries = 2

/** What it is made of is found when it is asked for: only one page of a listing is looked at at a time. */
class ShownEntry implements DirectoryEntry {
  readonly #entry: TreeEntry
  readonly #inodes: InodeTable

  constructor(entry: TreeEntry, inodes: InodeTable) {
    this.#entry = entry
    this.#inodes = inodes
  }

  get name(): Buffer {
    return this.#entry.name
  }

  get type(): DirectoryEntry['type'] {
    return this.#entry.type
  }

  get inode(): Inode | undefined {
    const { number } = this.#entry
    if (number !== undefined) return this.#inodes.numberAt(number)
    const { node } = this.#entry
    return node === undefined ? undefined : this.#inodes.numberOf(node)
  }
}

/** A directory that is open: its entries are the same for as long as it is. */
export class OpenDirectory {
  readonly inode: Inode
  /** What the name led to when it was opened. */
  readonly node: TreeNode
  /** Not before it is asked for: opening alone, as every tree walker does, need not wait for a first pass. */
  readonly listing: Lazy<readonly DirectoryEntry[]>
  readonly #inodes: InodeTable
  #reading: AbortController | undefined
  #entries: readonly TreeEntry[] = []
  #listed: readonly DirectoryEntry[] | undefined

  constructor(
    inode: Inode,
    node: TreeNode,
    inodes: InodeTable,
    read: (node: TreeNode, signal: AbortSignal) => Promise<readonly TreeEntry[]>,
  ) {
    this.inode = inode
    this.node = node
    this.#inodes = inodes
    this.listing = new Lazy(async () => {
      this.#reading = new AbortController()
      return this.#listed ?? this.#take(await read(node, this.#reading.signal))
    })
  }

  /** Nobody waits for its listing any more. */
  close(): void {
    this.#reading?.abort()
  }

  get isListed(): boolean {
    return this.#listed !== undefined
  }

  /** That listing where it was made, or can be without a wait. */
  peek(): readonly DirectoryEntry[] | undefined {
    if (this.#listed !== undefined) return this.#listed
    const entries = this.node.peekEntries?.()
    return entries && this.#list(entries)
  }

  /** Looks up an entry by its place in the listing; undefined where that would have to wait. */
  lookup(index: number): Attributes | undefined {
    const entry = this.#entries[index - dotEntries]
    if (entry === undefined) return undefined
    const { number } = entry
    if (number !== undefined) {
      const attributes = number.nodes.attributesAt(number.index)
      return shownAttributes(this.#inodes.acquireAt(number), this.node.image, attributes)
    }
    const { node } = entry
    const attributes = node?.attributes
    if (node === undefined || attributes === undefined) return undefined
    return attributesOfNode(this.#inodes.acquire(node), node, attributes)
  }

  /** Meanwhile somebody may have had it without a wait. */
  #take(entries: readonly TreeEntry[]): readonly DirectoryEntry[] {
    return this.#listed ?? this.#list(entries)
  }

  #list(entries: readonly TreeEntry[]): readonly DirectoryEntry[] {
    this.#entries = entries
    this.#listed = [
      { name: Buffer.from('.'), type: 'directory', inode: this.inode },
      { name: Buffer.from('..'), type: 'directory', inode: undefined },
      ...entries.map((entry) => new ShownEntry(entry, this.#inodes)),
    ]
    return this.#listed
  }
}
