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
  readonly #linksThrough = new Map<string, readonly string[]>()

  constructor(root: TreeNode, lower: LowerNames | undefined) {
    this.#root = root
    this.#aufsLinks = TreeNode.directory(root.tree)
    this.#lower = lower
  }

  /** Targets of the hard links that paths went on behind while those waited. */
  get linksThrough(): ReadonlyMap<string, readonly string[]> {
    return this.#linksThrough
  }

  /** At the root for this path. */
  walk(path: readonly string[]): PathWalk {
    const root = path[0] === aufsLinkDirectory ? this.#aufsLinks : this.#root
    return new PathWalk(root, this.#lower, ({ target }) => this.#linksThrough.set(target.join('/'), target))
  }

  /** What is at a path, for good; symbolic links on the way there are followed, one at its end is found. */
  find(path: readonly string[]): TreeNode | undefined {
    const node = this.#walkAlong(path)?.node
    const name = path.at(-1)
    return name === undefined ? node : node?.directory?.keep(name)
  }

  /** The hard link there that waits. */
  pendingAt(path: readonly string[]): PendingLink | undefined {
    const node = this.#walkAlong(path)?.node
    return node?.directory?.pending?.get(path.at(-1) ?? '')
  }

  /**
   * The directory that a marker is about; undefined where nothing of the layers below is to be hidden. A marker makes no
   * directory, and takes nothing away that its own layer has.
   */
  markedBy(
    path: readonly string[],
    imply: (parent: TreeNode, name: string) => TreeNode | undefined,
  ): TreeNode | undefined {
    const walk = this.walk(path)
    const make = (parent: TreeNode, name: string): TreeNode | undefined =>
      parent.directory?.find(name) === undefined && walk.seesBelow(name) ? imply(parent, name) : undefined
    for (const name of path.slice(0, -1)) if (walk.enter(name, make) !== undefined) return undefined
    return walk.node
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

  /** Through nothing but what the layer has, or the layers below where they were told: their links may lead back. */
  #walkAlong(path: readonly string[]): PathWalk | undefined {
    return this.#lower === undefined ? this.#walkTo(path, () => undefined) : this.#walkThrough(path)
  }

  #walkThrough(path: readonly string[]): PathWalk | undefined {
    return this.#walkTo(path, (parent, name) => {
      const passing = TreeNode.directory(this.#root.tree)
      passing.directory.opaque = parent.directory?.whiteouts?.has(name) === true
      return passing
    })
  }

  /** The way to the directory that a path is in. */
  #walkTo(
    path: readonly string[],
    make: (parent: TreeNode, name: string) => TreeNode | undefined,
  ): PathWalk | undefined {
    const walk = this.walk(path)
    for (let i = 0; i < path.length - 1; i++) {
      if (walk.enter(path[i] as string, make) !== undefined) return undefined
    }
    return walk
  }
}
