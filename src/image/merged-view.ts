import type { Layer } from '../layer/layer.js'
import type { LayerTree } from '../layer/layer-tree.js'
import type { MemberTable } from '../layer/member-table.js'
import type { TreeMembers } from '../layer/tree-members.js'
import type { LayerNode } from '../layer/tree-node.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import { silentLogger, type Logger } from '../util/log.js'
import { EffectiveTrees } from './effective-trees.js'
import type { ImageNode } from './image.js'
import { LayerFiles } from './layer-files.js'
import { LinkCounts } from './link-counts.js'
import { MergedDirectory } from './merged-directory.js'
import type { MergedFile } from './merged-file.js'
import { followPath } from './merged-path.js'
import { LeftOut } from './left-out.js'

/** What the views of an image's layers have in common. */
interface Shared {
  /** By the position of the layer, for an image may have the same layer twice. */
  readonly files: readonly WeakMap<MemberTable, LayerFiles>[]
  /** Views of the layers below each one. */
  readonly lower: Map<number, MergedView>
  readonly trees: EffectiveTrees
  readonly leftOut: LeftOut
}

export interface LinkTarget {
  readonly node: ImageNode
  /** Latin-1, without symbolic links on the way. */
  readonly path: string
}

/**
 * Some layers of an image, base first, as one tree: the top-most wins, whiteouts and opaque directories hide what is
 * below, directories of several layers are one. Nothing is merged beforehand; each directory asks the layers from the
 * top down, and a layer below is not read before the ones above have been asked to the end.
 */
export class MergedView {
  readonly layers: readonly Layer[]
  readonly root: MergedDirectory
  /**
   * All of an image's layers, not some lower ones. There a name that a layer has is believed before the layers below were read.
   * What is wrong then is what one layer has twice, by its name and behind a symbolic link below; a listing is never wrong.
   * Any directory that a layer only implies may be such a link, so to be certain of a name that it has in two directories
   * (every package.json, say) the layers below would have to be read for each.
   */
  readonly isWhole: boolean
  readonly #shared: Shared
  readonly #asked = new WeakSet<Layer>()
  /** Only of the whole image. */
  readonly #linkCounts: LinkCounts | undefined

  constructor(layers: readonly Layer[], log: Logger = silentLogger, shared?: Shared) {
    this.layers = layers
    this.isWhole = shared === undefined
    this.#shared = shared ?? {
      files: layers.map(() => new WeakMap()),
      lower: new Map(),
      trees: new EffectiveTrees(this),
      leftOut: new LeftOut(log),
    }
    this.#linkCounts = shared === undefined && layers.length > 1 ? new LinkCounts(this) : undefined
    this.root = new MergedDirectory(this)
  }

  /** The same object for the same file, however it was found. */
  fileOf(node: LayerNode, layerIndex: number): MergedFile {
    return this.filesOf(node.tree, layerIndex).fileOf(node)
  }

  /** The same where its links need not be counted first. */
  peekFile(node: LayerNode, layerIndex: number): MergedFile | undefined {
    const hasOthers = node.unresolvedLink !== undefined || this.peekLinksAbove(layerIndex) !== false
    // What the top-most layer has can be counted in that alone.
    if (hasOthers || (node.linkPaths !== undefined && layerIndex < this.layers.length - 1)) return undefined
    return this.fileOf(node, layerIndex)
  }

  /** Of one layer, for as long as it has the same members. */
  filesOf(members: TreeMembers, layerIndex: number): LayerFiles {
    const files = this.#shared.files[layerIndex]
    let found = files?.get(members.table)
    if (found === undefined) {
      found = new LayerFiles(this.layers[layerIndex] as Layer, layerIndex, members)
      files?.set(members.table, found)
    }
    found.takeTree(members)
    return found
  }

  /** The layers below one: what was there when it was put on them. */
  below(layerIndex: number): MergedView {
    const { lower } = this.#shared
    let view = lower.get(layerIndex)
    if (view === undefined) {
      view = new MergedView(this.layers.slice(0, layerIndex), undefined, this.#shared)
      lower.set(layerIndex, view)
    }
    return view
  }

  /** A layer's members as far as they are known, where they go as far as that is known. */
  treeOf(layerIndex: number): LayerTree | undefined {
    return this.#shared.trees.known(layerIndex) ?? this.layers[layerIndex]?.tree
  }

  /** The same once it is known for certain. */
  async settledTree(layerIndex: number, options: ReadOptions = {}): Promise<LayerTree> {
    return this.#shared.trees.get(layerIndex, options)
  }

  /** Whether where a layer's members go can be known for certain without reading any layer; false where they go where they seem to. */
  async canSettle(layerIndex: number, tree: LayerTree): Promise<boolean> {
    if (layerIndex === 0 || !tree.dependsOnLower || this.layers[layerIndex]?.state !== 'ready') return false
    for (const layer of this.layers.slice(0, layerIndex)) {
      // Its index may be there, and is looked for once.
      if (layer.state === 'unread' && !this.#asked.has(layer)) await layer.status()
      this.#asked.add(layer)
      if (layer.state !== 'ready') return false
    }
    return true
  }

  /** Every layer was read, and where all members go is known: nothing has to be waited for. */
  get isAtRest(): boolean {
    return this.layers.every((layer, index) => {
      if (layer.state !== 'ready') return false
      return (
        index === 0 || layer.tree?.dependsOnLower === false || this.#shared.trees.known(index) !== undefined
      )
    })
  }

  isSettled(layerIndex: number, tree: LayerTree): boolean {
    return layerIndex === 0 || this.#shared.trees.known(layerIndex) === tree
  }

  /** Whether a directory that a layer only implies is a symbolic link in the layers below. */
  async isLinkBelow(node: LayerNode, layerIndex: number, path: readonly string[]): Promise<boolean> {
    return !node.isNew && (await this.#shared.trees.isLinkBelow(node, layerIndex, path))
  }

  /** Whether a file of a layer that has one name there can have more in the image; undefined until `findLinksAbove`. */
  peekLinksAbove(layerIndex: number): boolean | undefined {
    return this.#linkCounts === undefined ? false : this.#linkCounts.peekAbove(layerIndex)
  }

  async findLinksAbove(layerIndex: number): Promise<void> {
    await this.#linkCounts?.findAbove(layerIndex)
  }

  async countLinks(node: ImageNode): Promise<void> {
    await this.#linkCounts?.count(node)
  }

  /**
   * What a hard link whose target its own layer does not have stands for: that path in the layers below it, behind
   * symbolic links too; one at its end is itself the target. Undefined: nothing, and no runtime could unpack it.
   */
  async resolveLink(
    link: LayerNode,
    layerIndex: number,
    options: ReadOptions,
  ): Promise<ImageNode | undefined> {
    return (await this.findLinkTarget(link.unresolvedLink ?? [], layerIndex, options))?.node
  }

  /** Why a hard link is nothing that can be looked up. */
  danglingLink(link: LayerNode, layerIndex: number): RegistryFsError {
    return new RegistryFsError('CORRUPT', whyDangling(link), {
      layer: this.layers[layerIndex]?.descriptor.digest,
      offset: link.member?.headerOffset,
    })
  }

  /** A listing is without such a link. */
  leaveOut(link: LayerNode, layerIndex: number): void {
    const layer = this.layers[layerIndex]?.descriptor.digest
    if (link.member !== undefined) this.#shared.leftOut.add(link.member, whyDangling(link), layer)
  }

  async findLinkTarget(
    target: readonly string[],
    layerIndex: number,
    options: ReadOptions,
  ): Promise<LinkTarget | undefined> {
    const parent = await followPath(this.below(layerIndex).root, target.slice(0, -1), options)
    const name = target.at(-1) ?? ''
    const node = await parent?.node.find(name, options)
    if (parent === undefined || node === undefined || node instanceof MergedDirectory) return undefined
    return { node, path: [...parent.path, name].join('/') }
  }
}

function whyDangling({ unresolvedLink }: LayerNode): string {
  return `a hard link to ${JSON.stringify(unresolvedLink?.join('/'))}, which no layer below has`
}
