import type { LayerNode } from '../layer/tree-node.js'
import { LayerTree } from '../layer/layer-tree.js'
import type { LowerNames } from '../layer/lower-names.js'
import type { ReadOptions } from '../util/abort.js'
import { MergedDirectory } from './merged-directory.js'
import { followPath, type FoundDirectory } from './merged-path.js'
import type { MergedView } from './merged-view.js'

interface Found {
  /** The layer's own, from which the other is made. */
  readonly plain: LayerTree
  readonly promise: Promise<LayerTree>
  tree: LayerTree | undefined
}

interface Names extends LowerNames {
  readonly symlinks: Map<string, Buffer>
  readonly linkTargets: Set<string>
}

/** Each finds at least one symbolic link behind those of the one before. */
const maximumRounds = 16

/**
 * Layers as they go where the layers below have them go. What unpacks `lib/x` over a lower `lib -> usr/lib` makes
 * usr/lib/x, `lib/.wh.x` hides that, and a hard link before its target means what the layers below have under that name.
 * A layer's own tree knows nothing of them. Where it matters, its members are gone through once more, in their order;
 * only layers without entries for directories can have such members, which docker, podman and buildkit do not write.
 */
export class EffectiveTrees {
  readonly #view: MergedView
  readonly #found = new Map<number, Found>()
  /** By the position of the layer, for an image may have the same layer twice. */
  readonly #links = new Map<number, WeakMap<LayerNode, Promise<boolean>>>()

  constructor(view: MergedView) {
    this.#view = view
  }

  /** Undefined while it is not known. */
  known(layerIndex: number): LayerTree | undefined {
    const found = this.#found.get(layerIndex)
    return found !== undefined && found.plain === this.#view.layers[layerIndex]?.tree ? found.tree : undefined
  }

  /** Waits until the layer was read, and those below as far as they decide. */
  async get(layerIndex: number, options: ReadOptions = {}): Promise<LayerTree> {
    const layer = this.#view.layers[layerIndex]
    if (layer === undefined) return new LayerTree()
    const plain = await layer.ready(options)
    if (layerIndex === 0 || !plain.dependsOnLower) return plain
    let found = this.#found.get(layerIndex)
    if (found?.plain !== plain) {
      const promise = this.#make(plain, layerIndex)
      const made: Found = { plain, promise, tree: undefined }
      found = made
      this.#found.set(layerIndex, made)
      promise.then(
        (tree) => (made.tree = tree),
        // Tried again by the next one who asks.
        () => this.#found.delete(layerIndex),
      )
    }
    return found.promise
  }

  /** Whether the layers below have a symbolic link where this layer only implies a directory. */
  async isLinkBelow(node: LayerNode, layerIndex: number, path: readonly string[]): Promise<boolean> {
    const links = this.#links.get(layerIndex) ?? new WeakMap<LayerNode, Promise<boolean>>()
    this.#links.set(layerIndex, links)
    let answer = links.get(node)
    if (answer === undefined) {
      answer = this.#hasLink(this.#view.below(layerIndex).root, path)
      links.set(node, answer)
      answer.catch(() => links.delete(node))
    }
    return answer
  }

  async #hasLink(root: MergedDirectory, path: readonly string[]): Promise<boolean> {
    let directory = root
    for (const [i, name] of path.entries()) {
      const node = await directory.find(name)
      if (!(node instanceof MergedDirectory)) return i === path.length - 1 && node?.type === 'symlink'
      directory = node
    }
    return false
  }

  async #make(plain: LayerTree, layerIndex: number): Promise<LayerTree> {
    const { root } = this.#view.below(layerIndex)
    const lower: Names = { symlinks: new Map(), linkTargets: new Set() }
    let tree = plain
    for (let round = 0; round < maximumRounds; round++) {
      const before = lower.symlinks.size + lower.linkTargets.size
      await findImplied(tree, root, lower)
      if (round === 0 && plain.hadImplied) await findParents(plain, root, lower)
      for (const { unresolvedLink } of tree.linksBelow)
        if (unresolvedLink !== undefined) await findOnTheWay(unresolvedLink.slice(0, -1), root, lower)
      for (const target of [...tree.forwardTargets, ...tree.linksThrough.values()])
        await findTarget(target, root, lower)
      if (lower.symlinks.size + lower.linkTargets.size === before) break
      tree = LayerTree.of(plain.members, lower)
    }
    return tree
  }
}

/** Symbolic links where the tree implies directories. */
async function findImplied(tree: LayerTree, root: MergedDirectory, { symlinks }: Names): Promise<void> {
  const todo = [{ node: tree.root, below: root, path: '' }]
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    for (const [name, node] of next.node.children?.directories() ?? []) {
      const below = await next.below.find(name)
      const path = next.path + name
      if (below instanceof MergedDirectory) todo.push({ node, below, path: `${path}/` })
      else if (below?.type === 'symlink' && !node.isNamed) symlinks.set(path, below.linkName)
    }
  }
}

/** Symbolic links where members had directories implied that are something else now. */
async function findParents({ members }: LayerTree, root: MergedDirectory, lower: Names): Promise<void> {
  let last = ''
  const done = new Set<string>()
  for (let index = 0; index < members.length; index++) {
    const { bytes, nameStart, nameEnd } = members.peek(index)
    const name = bytes.toString('latin1', nameStart, nameEnd)
    const parent = name.slice(0, Math.max(0, name.lastIndexOf('/', name.length - 2)))
    if (parent === last || done.has(parent)) continue
    done.add((last = parent))
    await findOnTheWay(parent.split('/'), root, lower)
  }
}

/** Symbolic links on the way to a directory. */
async function findOnTheWay(
  path: readonly string[],
  root: MergedDirectory,
  { symlinks }: Names,
): Promise<FoundDirectory | undefined> {
  return followPath(root, path, {}, (link, target) => symlinks.set(link.join('/'), target))
}

async function findTarget(target: readonly string[], root: MergedDirectory, lower: Names): Promise<void> {
  const parent = await findOnTheWay(target.slice(0, -1), root, lower)
  const name = target.at(-1) ?? ''
  const found = await parent?.node.find(name)
  if (parent === undefined || found === undefined || found instanceof MergedDirectory) return
  const path = [...parent.path, name].join('/')
  lower.linkTargets.add(path)
  if (found.type === 'symlink') lower.symlinks.set(path, found.linkName)
}
