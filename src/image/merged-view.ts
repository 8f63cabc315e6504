import type { Layer } from '../layer/layer.js'
import type { LayerNode } from '../layer/tree-node.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { ImageNode } from './image.js'
import { MergedDirectory } from './merged-directory.js'
import { MergedFile } from './merged-file.js'

/** A chain of hard links from layer to layer is as long as the image is high; this is higher. */
const maximumLinkDepth = 128

/**
 * Some layers of an image, base first, as one tree: the top-most wins, whiteouts and opaque directories hide what is
 * below, directories of several layers are one. Nothing is merged beforehand; each directory asks the layers from the
 * top down, and a layer below is not read before the ones above have been asked to the end.
 */
export class MergedView {
  readonly layers: readonly Layer[]
  readonly root: MergedDirectory
  readonly #linkDepth: number
  readonly #files = new WeakMap<LayerNode, MergedFile>()
  /** Views of the layers below each one, for hard links to them. */
  readonly #lower = new Map<number, MergedView>()

  constructor(layers: readonly Layer[], linkDepth = 0) {
    this.layers = layers
    this.#linkDepth = linkDepth
    this.root = new MergedDirectory(this, undefined, '', 0)
  }

  /** The same object for the same file, however it was found. */
  fileOf(node: LayerNode, layerIndex: number): MergedFile {
    let file = this.#files.get(node)
    if (file === undefined) {
      file = new MergedFile(this.layers[layerIndex] as Layer, layerIndex, node)
      this.#files.set(node, file)
    }
    return file
  }

  /** What a hard link whose target its own layer does not have stands for: that path in the layers below it. */
  async resolveLink(target: readonly string[], layerIndex: number, options: ReadOptions): Promise<ImageNode> {
    if (this.#linkDepth >= maximumLinkDepth)
      throw new RegistryFsError('LIMIT', 'too many hard links to hard links')
    let lower = this.#lower.get(layerIndex)
    if (lower === undefined) {
      lower = new MergedView(this.layers.slice(0, layerIndex), this.#linkDepth + 1)
      this.#lower.set(layerIndex, lower)
    }
    let node: ImageNode = lower.root
    for (const name of target) {
      const next =
        node.attributes.type === 'directory'
          ? await node.lookup(Buffer.from(name, 'latin1'), options)
          : undefined
      if (next === undefined) {
        throw new RegistryFsError(
          'CORRUPT',
          `a hard link to ${JSON.stringify(target.join('/'))}, which no layer below has`,
          {
            layer: this.layers[layerIndex]?.descriptor.digest,
          },
        )
      }
      node = next
    }
    return node
  }
}
