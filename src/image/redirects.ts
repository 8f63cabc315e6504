import type { LayerNode } from '../layer/tree-node.js'
import type { LayerTree } from '../layer/layer-tree.js'
import { followPath } from './merged-path.js'
import type { MergedView } from './merged-view.js'

interface LayerRedirects {
  readonly tree: LayerTree | undefined
  readonly byTarget: Promise<ReadonlyMap<string, readonly LayerNode[]>>
}

/**
 * Where members really go whose layer does not name the directory that they are in, when the layers below have a symbolic
 * link to a directory of that name: what unpacks `lib/x` over `lib -> usr/lib` makes usr/lib/x, and `lib/.wh.x` hides
 * that. Only layers that lack entries for directories can have such members; docker's, podman's and buildkit's do not.
 */
export class Redirects {
  readonly #view: MergedView
  readonly #targets = new WeakMap<LayerNode, Promise<readonly string[] | undefined>>()
  readonly #layers = new Map<number, LayerRedirects>()

  constructor(view: MergedView) {
    this.#view = view
  }

  /** The path of the directory that stands for this one of a layer, which is at `path`; undefined: it is itself. */
  async targetOf(
    node: LayerNode,
    layerIndex: number,
    path: readonly string[],
  ): Promise<readonly string[] | undefined> {
    if (node.children === undefined || node.isNamed || node.opaque || layerIndex === 0) return undefined
    let target = this.#targets.get(node)
    if (target === undefined) {
      target = this.#findTarget(layerIndex, path)
      this.#targets.set(node, target)
      // Tried again by the next one who asks.
      target.catch(() => this.#targets.delete(node))
    }
    return target
  }

  /** Directories of a layer that was read to its end which go to this path. */
  async at(layerIndex: number, path: readonly string[]): Promise<readonly LayerNode[]> {
    const layer = this.#view.layers[layerIndex]
    if (layerIndex === 0 || layer === undefined) return []
    const tree = await layer.ready()
    if (!tree.hasImplied) return []
    let known = this.#layers.get(layerIndex)
    if (known?.tree !== tree) {
      const byTarget = this.#collect(tree, layerIndex)
      known = { tree, byTarget }
      this.#layers.set(layerIndex, known)
      byTarget.catch(() => this.#layers.delete(layerIndex))
    }
    return (await known.byTarget).get(path.join('/')) ?? []
  }

  async #findTarget(layerIndex: number, path: readonly string[]): Promise<readonly string[] | undefined> {
    const { root } = this.#view.below(layerIndex)
    const parent = await followPath(root, path.slice(0, -1), {})
    if (parent?.path.length !== path.length - 1) return undefined
    const found = await parent.node.lookup(Buffer.from(path.at(-1) ?? '', 'latin1'))
    if (found?.attributes.type !== 'symlink') return undefined
    return (await followPath(root, path, {}))?.path
  }

  async #collect(tree: LayerTree, layerIndex: number): Promise<ReadonlyMap<string, readonly LayerNode[]>> {
    const byTarget = new Map<string, LayerNode[]>()
    const todo: { readonly node: LayerNode; readonly path: readonly string[] }[] = [
      { node: tree.root, path: [] },
    ]
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      for (const [name, node] of next.node.children?.directories() ?? []) {
        const path = [...next.path, name]
        const target = await this.targetOf(node, layerIndex, path)
        todo.push({ node, path: target ?? path })
        if (target === undefined) continue
        const key = target.join('/')
        byTarget.set(key, [...(byTarget.get(key) ?? []), node])
      }
    }
    return byTarget
  }
}
