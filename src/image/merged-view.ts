import type { Layer } from '../layer/layer.js'
import type { LayerNode } from '../layer/tree-node.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { ImageNode } from './image.js'
import { MergedDirectory, type Part } from './merged-directory.js'
import { MergedFile } from './merged-file.js'
import { followPath } from './merged-path.js'
import { Redirects } from './redirects.js'

/** What the views of an image's layers have in common. */
interface Shared {
  readonly files: WeakMap<LayerNode, MergedFile>
  /** Views of the layers below each one. */
  readonly lower: Map<number, MergedView>
}

/**
 * Some layers of an image, base first, as one tree: the top-most wins, whiteouts and opaque directories hide what is
 * below, directories of several layers are one. Nothing is merged beforehand; each directory asks the layers from the
 * top down, and a layer below is not read before the ones above have been asked to the end.
 */
export class MergedView {
  readonly layers: readonly Layer[]
  readonly root: MergedDirectory
  readonly redirects: Redirects
  readonly #shared: Shared

  constructor(layers: readonly Layer[], shared: Shared = { files: new WeakMap(), lower: new Map() }) {
    this.layers = layers
    this.#shared = shared
    this.redirects = new Redirects(this)
    this.root = new MergedDirectory(this, undefined, '', 0)
  }

  /** The same object for the same file, however it was found. */
  fileOf(node: LayerNode, layerIndex: number): MergedFile {
    const { files } = this.#shared
    let file = files.get(node)
    if (file === undefined) {
      file = new MergedFile(this.layers[layerIndex] as Layer, layerIndex, node)
      files.set(node, file)
    }
    return file
  }

  /** The layers below one: what was there when it was put on them. */
  below(layerIndex: number): MergedView {
    const { lower } = this.#shared
    let view = lower.get(layerIndex)
    if (view === undefined) {
      view = new MergedView(this.layers.slice(0, layerIndex), this.#shared)
      lower.set(layerIndex, view)
    }
    return view
  }

  /** What a layer has for a directory by way of symbolic links below it. */
  async redirectedParts(layerIndex: number, path: readonly string[]): Promise<readonly Part[]> {
    const nodes = await this.redirects.at(layerIndex, path)
    const { tree } = this.layers[layerIndex] as Layer
    return tree === undefined ? [] : nodes.map((node) => ({ layerIndex, tree, node }))
  }

  /**
   * What a hard link whose target its own layer does not have stands for: that path in the layers below it, behind
   * symbolic links too; one at its end is itself the target.
   */
  async resolveLink(target: readonly string[], layerIndex: number, options: ReadOptions): Promise<ImageNode> {
    const parent = await followPath(this.below(layerIndex).root, target.slice(0, -1), options)
    const found = await parent?.node.lookup(Buffer.from(target.at(-1) ?? '', 'latin1'), options)
    if (found === undefined || found.attributes.type === 'directory') {
      throw new RegistryFsError(
        'CORRUPT',
        `a hard link to ${JSON.stringify(target.join('/'))}, which no layer below has`,
        { layer: this.layers[layerIndex]?.descriptor.digest },
      )
    }
    return found
  }
}
