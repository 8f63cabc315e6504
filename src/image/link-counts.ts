import type { LayerTree } from '../layer/layer-tree.js'
import type { ImageNode } from './image.js'
import { MergedDirectory } from './merged-directory.js'
import { MergedFile } from './merged-file.js'
import type { MergedView } from './merged-view.js'

/** Of one file; what has more keeps the count of its own layer. */
const maximumPaths = 4096

/** By the trees that the layers had. */
interface Known {
  readonly trees: (LayerTree | undefined)[]
  readonly counted: WeakMap<MergedFile, Promise<void>>
  readonly linksOf: Map<number, Promise<ReadonlyMap<ImageNode, readonly string[]>>>
  readonly haveAbove: Map<number, boolean>
}

function nothingKnown(view: MergedView): Known {
  return {
    trees: view.layers.map((_, index) => view.treeOf(index)),
    counted: new WeakMap(),
    linksOf: new Map(),
    haveAbove: new Map(),
  }
}

/**
 * How many names of an image are one file: hard links may come from layers above, and names may be hidden by them. What
 * the top-most layer has can be counted in that alone. Of anything else all layers above were read when it was found.
 */
export class LinkCounts {
  readonly #view: MergedView
  #known: Known

  constructor(view: MergedView) {
    this.#view = view
    this.#known = nothingKnown(view)
  }

  async count(node: ImageNode): Promise<void> {
    const { layers } = this.#view
    if (!(node instanceof MergedFile) || node.layerIndex === layers.length - 1) return
    const { counted } = this.#current
    let counting = counted.get(node)
    if (counting === undefined) {
      // More of its names may come while its layer is read.
      const isFinal = layers[node.layerIndex]?.state === 'ready'
      counting = this.#count(node)
      counted.set(node, counting)
      const forget = (): unknown => counted.delete(node)
      counting.then(isFinal ? undefined : forget, forget)
    }
    return counting
  }

  /** Whether layers above have hard links to what the layers below them have; undefined until `findAbove`. */
  peekAbove(layerIndex: number): boolean | undefined {
    return layerIndex === this.#view.layers.length - 1 ? false : this.#current.haveAbove.get(layerIndex)
  }

  async findAbove(layerIndex: number): Promise<void> {
    const { haveAbove } = this.#current
    let hasAny = false
    for (let above = layerIndex + 1; above < this.#view.layers.length; above++)
      hasAny ||= (await this.#linksInto(above)).size > 0
    haveAbove.set(layerIndex, hasAny)
  }

  /** Nothing once a layer has another tree than it had: a pass began anew, or its members go elsewhere than it seemed. */
  get #current(): Known {
    const { trees } = this.#known
    this.#view.layers.forEach((_, index) => {
      const tree = this.#view.treeOf(index)
      if (trees[index] !== undefined && trees[index] !== tree) this.#known = nothingKnown(this.#view)
      trees[index] = tree
    })
    return this.#known
  }

  async #count(file: MergedFile): Promise<void> {
    const paths = new Set(file.linkPaths)
    for (let above = file.layerIndex + 1; above < this.#view.layers.length; above++)
      for (const path of (await this.#linksInto(above)).get(file) ?? []) paths.add(path)
    if (paths.size === 0 || paths.size > maximumPaths) return
    let count = 0
    for (const path of paths) if ((await this.#find(path)) === file) count++
    file.setLinkCount(Math.max(1, count))
  }

  /** Files of the layers below a layer to which that one has hard links, with the names on both sides. */
  async #linksInto(layerIndex: number): Promise<ReadonlyMap<ImageNode, readonly string[]>> {
    const { linksOf } = this.#current
    let links = linksOf.get(layerIndex)
    if (links === undefined) {
      links = this.#resolve(layerIndex)
      linksOf.set(layerIndex, links)
      links.catch(() => linksOf.delete(layerIndex))
    }
    return links
  }

  async #resolve(layerIndex: number): Promise<ReadonlyMap<ImageNode, readonly string[]>> {
    const into = new Map<ImageNode, string[]>()
    const { linksBelow } = await this.#view.settledTree(layerIndex)
    for (const { unresolvedLink, linkPaths } of linksBelow) {
      if (unresolvedLink === undefined || linkPaths === undefined) continue
      const target = await this.#view.findLinkTarget(unresolvedLink, layerIndex, {})
      if (target === undefined) continue
      const paths = into.get(target.node) ?? []
      into.set(target.node, paths)
      paths.push(target.path, ...linkPaths)
    }
    return into
  }

  async #find(path: string): Promise<ImageNode | undefined> {
    let directory = this.#view.root
    const names = path.split('/')
    for (const name of names.slice(0, -1)) {
      const next = await directory.find(name)
      if (!(next instanceof MergedDirectory)) return undefined
      directory = next
    }
    return directory.find(names.at(-1) ?? '')
  }
}
