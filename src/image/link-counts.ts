import type { ImageNode } from './image.js'
import { MergedDirectory } from './merged-directory.js'
import { MergedFile } from './merged-file.js'
import type { MergedView } from './merged-view.js'

/** Of one file; what has more keeps the count of its own layer. */
const maximumPaths = 4096

/**
 * How many names of an image are one file: hard links may come from layers above, and names may be hidden by them. What
 * the top-most layer has can be counted in that alone. Of anything else all layers above were read when it was found.
 */
export class LinkCounts {
  readonly #view: MergedView
  readonly #counted = new WeakMap<MergedFile, Promise<void>>()
  readonly #linksOf = new Map<number, Promise<ReadonlyMap<ImageNode, readonly string[]>>>()

  readonly #haveAbove = new Map<number, boolean>()

  constructor(view: MergedView) {
    this.#view = view
  }

  async count(node: ImageNode): Promise<void> {
    if (!(node instanceof MergedFile) || node.layerIndex === this.#view.layers.length - 1) return
    let counted = this.#counted.get(node)
    if (counted === undefined) {
      counted = this.#count(node)
      this.#counted.set(node, counted)
      counted.catch(() => this.#counted.delete(node))
    }
    return counted
  }

  /** Whether layers above have hard links to what the layers below them have; undefined until `findAbove`. */
  peekAbove(layerIndex: number): boolean | undefined {
    return layerIndex === this.#view.layers.length - 1 ? false : this.#haveAbove.get(layerIndex)
  }

  async findAbove(layerIndex: number): Promise<void> {
    let hasAny = false
    for (let above = layerIndex + 1; above < this.#view.layers.length; above++)
      hasAny ||= (await this.#linksInto(above)).size > 0
    this.#haveAbove.set(layerIndex, hasAny)
  }

  async #count(file: MergedFile): Promise<void> {
    const paths = new Set(file.linkPaths)
    for (let above = file.layerIndex + 1; above < this.#view.layers.length; above++)
      for (const path of (await this.#linksInto(above)).get(file) ?? []) paths.add(path)
    if (paths.size === 0 || paths.size > maximumPaths) return
    let count = 0
    for (const path of paths) if ((await this.#find(path)) === file) count++
    file.linkCount = Math.max(1, count)
  }

  /** Files of the layers below a layer to which that one has hard links, with the names on both sides. */
  async #linksInto(layerIndex: number): Promise<ReadonlyMap<ImageNode, readonly string[]>> {
    let links = this.#linksOf.get(layerIndex)
    if (links === undefined) {
      links = this.#resolve(layerIndex)
      this.#linksOf.set(layerIndex, links)
      links.catch(() => this.#linksOf.delete(layerIndex))
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
