import type { Layer } from '../layer/layer.js'
import type { LayerTree } from '../layer/layer-tree.js'
import type { LayerNode } from '../layer/tree-node.js'
import type { ByteSource } from '../blob/source.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { ImageEntry, ImageNode, NodeAttributes, NodeOrigin } from './image.js'
import { memberAttributes, memberOrigin } from './merged-file.js'
import type { MergedView } from './merged-view.js'

/** A layer's directory node that is visible here. It is valid while the layer still has the same tree. */
export interface Part {
  readonly layerIndex: number
  readonly tree: LayerTree
  readonly node: LayerNode
}

const noXattrs: ReadonlyMap<string, Buffer> = new Map()

/** Of directories that no layer names. */
const madeUp: NodeAttributes = Object.freeze({
  type: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  deviceMajor: 0,
  deviceMinor: 0,
  linkCount: 1,
})

/**
 * A directory as several layers have it: its parts, top-most first, found one by one as they are needed. A part is
 * looked for in the parent's parts in turn, until a whiteout, an opaque directory or something that is no directory
 * hides the rest.
 */
export class MergedDirectory implements ImageNode {
  readonly linkName = Buffer.alloc(0)
  readonly #view: MergedView
  readonly #parent: MergedDirectory | undefined
  /** Latin-1 key of the name in the parent; '' at the root. */
  readonly #key: string
  #parts: Part[] = []
  /** Which of the parent's parts (at the root: how many layers from the top) to ask next. */
  #next: number
  #complete = false
  #extending: Promise<void> | undefined
  readonly #directories = new Map<string, MergedDirectory>()
  /** Layers from this one down were not asked yet for directories that go here (Redirects). */
  #redirectLayer: number

  constructor(
    view: MergedView,
    parent: MergedDirectory | undefined,
    key: string,
    next: number,
    first: readonly Part[] = [],
  ) {
    this.#view = view
    this.#parent = parent
    this.#key = key
    this.#next = next
    for (const part of first) if (!this.#complete) this.#add(part)
    this.#redirectLayer = first.at(-1)?.layerIndex ?? view.layers.length - 1
  }

  /** Latin-1 components. */
  get #path(): readonly string[] {
    const path: string[] = []
    let key = this.#key
    let parent = this.#parent
    while (parent !== undefined) {
      path.unshift(key)
      key = parent.#key
      parent = parent.#parent
    }
    return path
  }

  get attributes(): NodeAttributes {
    const named = this.#parts.find((part) => part.node.isNamed)?.node.member
    return named === undefined ? madeUp : { ...memberAttributes(named, 1), type: 'directory', size: 0 }
  }

  get origin(): NodeOrigin | undefined {
    const part = this.#parts.find(({ node }) => node.isNamed)
    return part?.node.member === undefined
      ? undefined
      : memberOrigin(this.#layer(part.layerIndex), part.layerIndex, part.node.member)
  }

  get xattrs(): ReadonlyMap<string, Buffer> {
    return this.#parts.find((part) => part.node.isNamed)?.node.member?.xattrs ?? noXattrs
  }

  open(): ByteSource {
    throw new RegistryFsError('IS_A_DIRECTORY', 'a directory has no content')
  }

  async lookup(name: Buffer, options: ReadOptions = {}): Promise<ImageNode | undefined> {
    const key = name.toString('latin1')
    for (let k = 0; ; k++) {
      const part = await this.part(k, options)
      if (part === undefined) return undefined
      const found = await this.#layer(part.layerIndex).until(() => part.node.children?.get(key), options)
      if (
        found !== undefined &&
        !(isImplied(found) && (await this.#goesElsewhere(key, part.layerIndex, found)))
      )
        return this.#nodeOf(key, k, { ...part, node: found }, options)
      if (part.node.whiteouts?.has(key) === true) return undefined
    }
  }

  async entries(options: ReadOptions = {}): Promise<readonly ImageEntry[]> {
    // One layer after the other would download them one after the other.
    await Promise.all(this.#view.layers.map(async (layer) => layer.ready(options)))
    const entries: ImageEntry[] = []
    for await (const entry of this.watch(options)) entries.push(entry)
    return entries.sort((a, b) => Buffer.compare(a.name, b.name))
  }

  async *watch(options: ReadOptions = {}): AsyncIterable<ImageEntry> {
    const settled = new Set<string>()
    for (let k = 0; ; k++) {
      const part = await this.part(k, options)
      if (part === undefined) return
      for await (const [key, node] of this.#childrenOf(part, options)) {
        if (settled.has(key)) continue
        if (isImplied(node) && (await this.#goesElsewhere(key, part.layerIndex, node))) continue
        settled.add(key)
        yield {
          name: Buffer.from(key, 'latin1'),
          node: await this.#nodeOf(key, k, { ...part, node }, options),
        }
      }
      for (const key of part.node.whiteouts ?? []) settled.add(key)
    }
  }

  hasPart(node: LayerNode): boolean {
    return this.#parts.some((part) => part.node === node)
  }

  /** The k-th part from the top; undefined when there are fewer. */
  async part(k: number, options: ReadOptions): Promise<Part | undefined> {
    for (;;) {
      if (this.#parts.some((part) => this.#layer(part.layerIndex).tree !== part.tree)) this.#forget()
      const part = this.#parts[k]
      if (part !== undefined || this.#complete) return part
      // Shared by all who wait, so no one's signal may end it.
      this.#extending ??= this.#extend().finally(() => (this.#extending = undefined))
      await abortable(this.#extending, options.signal)
    }
  }

  /** A first pass began anew and what it had found is gone: look again. */
  #forget(): void {
    this.#parts = []
    this.#next = 0
    this.#complete = false
    this.#redirectLayer = this.#view.layers.length - 1
    this.#directories.clear()
  }

  async #extend(): Promise<void> {
    if (this.#parent === undefined) {
      const layerIndex = this.#view.layers.length - 1 - this.#next
      if (layerIndex < 0) {
        this.#complete = true
        return
      }
      const layer = this.#layer(layerIndex)
      const node = await layer.until((tree) => tree.root)
      this.#next++
      if (node !== undefined && layer.tree !== undefined) this.#add({ layerIndex, tree: layer.tree, node })
      return
    }
    const above = await this.#parent.part(this.#next, {})
    if (await this.#addRedirected(above?.layerIndex ?? -1)) return
    if (above === undefined) {
      this.#complete = true
      return
    }
    const { layerIndex } = above
    const found = await this.#layer(layerIndex).until(() => above.node.children?.get(this.#key))
    const isElsewhere =
      found !== undefined &&
      isImplied(found) &&
      (await this.#parent.#goesElsewhere(this.#key, layerIndex, found))
    const node = isElsewhere ? undefined : found
    this.#next++
    if (node?.children !== undefined) this.#add({ ...above, node })
    else if (node !== undefined || above.node.whiteouts?.has(this.#key) === true) this.#complete = true
  }

  /** Adds the next directory that goes here from a layer above `layerIndex`. */
  async #addRedirected(layerIndex: number): Promise<boolean> {
    while (this.#redirectLayer > layerIndex) {
      const parts = await this.#view.redirectedParts(this.#redirectLayer, this.#path)
      this.#redirectLayer--
      for (const part of parts) if (!this.#complete) this.#add(part)
      if (parts.length > 0) return true
    }
    return false
  }

  async #goesElsewhere(key: string, layerIndex: number, node: LayerNode): Promise<boolean> {
    return (await this.#view.redirects.targetOf(node, layerIndex, [...this.#path, key])) !== undefined
  }

  #add(part: Part): void {
    this.#parts.push(part)
    if (part.node.opaque) this.#complete = true
  }

  async #nodeOf(key: string, k: number, part: Part, options: ReadOptions): Promise<ImageNode> {
    const { node, layerIndex } = part
    if (node.unresolvedLink !== undefined)
      return this.#view.resolveLink(node.unresolvedLink, layerIndex, options)
    if (node.children === undefined) return this.#view.fileOf(node, layerIndex)
    let directory = this.#directories.get(key)
    if (directory?.hasPart(node) !== true) {
      const parts = [part]
      for (let above = this.#view.layers.length - 1; above > layerIndex; above--)
        parts.splice(-1, 0, ...(await this.#view.redirectedParts(above, [...this.#path, key])))
      directory = this.#directories.get(key)
      if (directory?.hasPart(node) !== true)
        directory = new MergedDirectory(this.#view, this, key, k + 1, parts)
      this.#directories.set(key, directory)
    }
    // A directory that this layer only implies has the attributes that a layer below gives it.
    for (let i = 0; !directory.#parts.some((each) => each.node.isNamed); i++) {
      if ((await directory.part(i, options)) === undefined) break
    }
    return directory
  }

  async *#childrenOf(part: Part, options: ReadOptions): AsyncIterable<readonly [string, LayerNode]> {
    const children = part.node.children ?? new Map<string, LayerNode>()
    const layer = this.#layer(part.layerIndex)
    const iterator = children.entries()
    let taken = 0
    for (let running = true; running;) {
      running = (await layer.until(() => (children.size > taken ? true : undefined), options)) !== undefined
      // A map's iterator goes on with what is added later, but never again once it has said `done`.
      while (running ? taken < children.size : true) {
        const next = iterator.next()
        if (next.done === true) return
        taken++
        yield next.value
      }
    }
  }

  #layer(index: number): Layer {
    return this.#view.layers[index] as Layer
  }
}

function isImplied(node: LayerNode): boolean {
  return node.children !== undefined && !node.isNamed
}
