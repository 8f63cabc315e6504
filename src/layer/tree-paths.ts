import type { LowerNames } from './lower-names.js'
import type { PendingLink } from './pending-links.js'
import { PathWalk } from './tree-path.js'
import { TreeNode } from './tree-node.js'

/** Nobody sees what AUFS has in here, but hard links may lead there. */
export const aufsLinkDirectory = '.wh..wh.plnk'

/** What paths mean in a layer's tree as it is now. */
export class TreePaths {
  readonly #root: TreeNode
  readonly #aufsLinks: TreeNode
  readonly #lower: LowerNames | undefined

  constructor(root: TreeNode, lower: LowerNames | undefined) {
    this.#root = root
    this.#aufsLinks = TreeNode.directory(root.tree)
    this.#lower = lower
  }

  /** At the root for this path. */
  walk(path: readonly string[]): PathWalk {
    return new PathWalk(path[0] === aufsLinkDirectory ? this.#aufsLinks : this.#root, this.#lower)
  }

  /** What is at a path, for good; symbolic links on the way there are followed, one at its end is found. */
  find(path: readonly string[]): TreeNode | undefined {
    const node = this.#walkTo(path, () => undefined)?.node
    const name = path.at(-1)
    return name === undefined ? node : node?.directory?.keep(name)
  }

  /** The hard link there that waits. */
  pendingAt(path: readonly string[]): PendingLink | undefined {
    const node = this.#walkTo(path, () => undefined)?.node
    return node?.directory?.pending?.get(path.at(-1) ?? '')
  }

  /** Where symbolic links lead a path; what the layer does not have is taken to be directories. */
  canonical(path: readonly string[]): readonly string[] {
    return this.#walkThrough(path)?.componentsOf(path.at(-1) ?? '') ?? path
  }

  /** Whether a hard link to this means what the layers below have, whatever comes later in this one. */
  isBelow(path: readonly string[]): boolean {
    if (this.#lower === undefined || this.#lower.linkTargets.size === 0) return false
    const name = path.at(-1) ?? ''
    const walk = this.#walkThrough(path)
    return walk !== undefined && this.#lower.linkTargets.has(walk.pathOf(name)) && walk.seesBelow(name)
  }

  #walkThrough(path: readonly string[]): PathWalk | undefined {
    return this.#walkTo(path, () => TreeNode.directory(this.#root.tree))
  }

  /** The way to the directory that a path is in. */
  #walkTo(path: readonly string[], make: () => TreeNode | undefined): PathWalk | undefined {
    const walk = this.walk(path)
    for (let i = 0; i < path.length - 1; i++) {
      if (walk.enter(path[i] as string, make) !== undefined) return undefined
    }
    return walk
  }
}
