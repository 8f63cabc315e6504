import type { LowerNames } from './lower-names.js'
import type { PendingLink } from './pending-links.js'
import { TreeNode, type TreeEntry } from './tree-node.js'

/** Of one name, as in every Linux file system. */
const maximumNameBytes = 255
/** Of a whole path: PATH_MAX of Linux less its NUL. No container runtime can unpack what is longer. */
const maximumPathBytes = 4095
/** What symbolic links can add to a path's own 2048. */
const maximumDepth = 4096
/** As Linux follows them in one path. */
const maximumLinks = 40
/** Of all symbolic links in one path: a small tar could have us walk for ever. */
const maximumLinkComponents = 256
const maximumLinkBytes = 4096

/**
 * A member's name as its way from the root, Latin-1: `.` and empty components are nothing, `..` goes up and stops at
 * the root. Text is why there is none, to go after "NAME is".
 */
export function pathComponents(name: Buffer): string[] | string {
  if (name.length > maximumPathBytes) return `a path of more than ${String(maximumPathBytes)} bytes`
  const components: string[] = []
  for (const component of name.toString('latin1').split('/')) {
    if (component === '' || component === '.') continue
    if (component === '..') {
      components.pop()
      continue
    }
    if (component.length > maximumNameBytes) return `a name of more than ${String(maximumNameBytes)} bytes`
    if (component.includes('\0')) return 'a name with a NUL in it'
    components.push(component)
  }
  return components
}

/**
 * A way down through a tree's directories. Symbolic links of the same layer are followed, as container runtimes do
 * when they unpack `lib/x` after `lib -> usr/lib`, and those of the layers below as far as they were told.
 */
export class PathWalk {
  readonly #nodes: TreeNode[]
  readonly #names: string[] = []
  readonly #lower: LowerNames | undefined
  readonly #onPending: (link: PendingLink) => void
  #links = 0
  #linkComponents = 0

  /** `onPending` is told of hard links, to what is not there, on the way: those may lead further. */
  constructor(root: TreeNode, lower: LowerNames | undefined, onPending: (link: PendingLink) => void) {
    this.#nodes = [root]
    this.#lower = lower
    this.#onPending = onPending
  }

  /** Where the walk is. */
  get node(): TreeNode {
    return this.#nodes.at(-1) as TreeNode
  }

  /** Whether no symbolic link led here. */
  get isDirect(): boolean {
    return this.#links === 0
  }

  /** Canonical path of a name in this directory. */
  pathOf(name: string): string {
    return [...this.#names, name].join('/')
  }

  /** Canonical components of a name in this directory. */
  componentsOf(name: string): readonly string[] {
    return [...this.#names, name]
  }

  /** Whether what the layers below have under a name in this directory is still to be seen. */
  seesBelow(name: string): boolean {
    const { directory } = this.node
    if (directory?.whiteouts?.has(name) === true || directory?.pending?.has(name) === true) return false
    return this.#nodes.every((node) => !node.opaque)
  }

  /** A member goes into this directory: it is made, and those that it is in. */
  make(): void {
    for (let i = this.#nodes.length - 1; i >= 0; i--) {
      const { directory } = this.#nodes[i] as TreeNode
      if (directory === undefined || directory.isMade) return
      directory.isMade = true
    }
  }

  /** Goes to a child directory, or to the one that `make` makes where there is none. Text is why it cannot. */
  enter(name: string, make: (parent: TreeNode, name: string) => TreeNode | undefined): string | undefined {
    const todo = [name]
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      if (next === '' || next === '.') continue
      if (next === '..') {
        if (this.#names.pop() !== undefined) this.#nodes.pop()
        continue
      }
      const child = this.node.directory?.find(next)
      const target = child === undefined ? this.#lowerTarget(next) : this.#linkTarget(child)
      if (target !== undefined) {
        if (target.length > maximumLinkBytes) return 'behind a symbolic link that is too long'
        const components = target.toString('latin1').split('/')
        this.#linkComponents += components.length
        if (++this.#links > maximumLinks || this.#linkComponents > maximumLinkComponents)
          return 'behind too many symbolic links'
        if (components[0] === '') {
          this.#nodes.length = 1
          this.#names.length = 0
        }
        todo.push(...components.reverse())
        continue
      }
      const pending = child === undefined ? this.node.directory?.pending?.get(next) : undefined
      if (pending !== undefined) this.#onPending(pending)
      const isDirectory = child instanceof TreeNode && child.directory !== undefined
      const entered = isDirectory ? child : make(this.node, next)
      if (entered === undefined) return 'not there'
      if (this.#names.length === maximumDepth) return `more than ${String(maximumDepth)} directories deep`
      this.#names.push(next)
      this.#nodes.push(entered)
    }
    return undefined
  }

  #lowerTarget(name: string): Buffer | undefined {
    const target = this.#lower?.symlinks.get(this.pathOf(name))
    return target !== undefined && this.seesBelow(name) ? target : undefined
  }

  #linkTarget(entry: TreeEntry): Buffer | undefined {
    if (entry instanceof TreeNode && entry.directory !== undefined) return undefined
    // A hard link to a symbolic link is followed from where the hard link is.
    if (entry instanceof TreeNode && entry.unresolvedLink !== undefined)
      return this.#lower?.symlinks.get(entry.unresolvedLink.join('/'))
    const index = entry instanceof TreeNode ? entry.memberIndex : entry
    const { table } = (this.#nodes[0] as TreeNode).tree
    return table.typeOf(index) === 'symlink' ? table.get(index).linkName : undefined
  }
}
