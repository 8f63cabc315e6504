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

/** Of a directory: where among the parts of its parent it begins. */
interface FirstPart {
  readonly k: number
  readonly part: Part
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
  readonly type = 'directory'
  readonly linkName = Buffer.alloc(0)
  readonly #view: MergedView
  readonly #parent: MergedDirectory | undefined
  /** Latin-1 key of the name in the parent; '' at the root. */
  readonly #key: string
  #parts: Part[] = []
  /** Which of the parent's parts (at the root: how many layers from the top) to ask next. */
  #next: number
  /** Nothing below the last part shows through. */
  #isClosed = false
  /** Of a directory that is closed by parts that no member names: where its attributes come from. */
  #hidden: Part | undefined
  /** There is nothing more to ask for. */
  #complete = false
  #extending: Promise<void> | undefined
  readonly #directories = new Map<string, MergedDirectory>()

  constructor(
    view: MergedView,
    parent: MergedDirectory | undefined,
    key: string,
    next: number,
    first?: Part,
  ) {
    this.#view = view
    this.#parent = parent
    this.#key = key
    this.#next = next
    if (first !== undefined) this.#add(first)
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
    const named = this.#named?.node.member
    return named === undefined ? madeUp : { ...memberAttributes(named, 1), type: 'directory', size: 0 }
  }

  get origin(): NodeOrigin | undefined {
    const part = this.#named
    return part?.node.member === undefined
      ? undefined
      : memberOrigin(this.#layer(part.layerIndex), part.layerIndex, part.node.member)
  }

  get xattrs(): ReadonlyMap<string, Buffer> {
    return this.#named?.node.member?.xattrs ?? noXattrs
  }

  /** The part that gives the attributes: the top-most that a member names. */
  get #named(): Part | undefined {
    return this.#parts.find((part) => part.node.isNamed) ?? this.#hidden
  }

  open(): ByteSource {
    throw new RegistryFsError('IS_A_DIRECTORY', 'a directory has no content')
  }

  async lookup(name: Buffer, options: ReadOptions = {}): Promise<ImageNode | undefined> {
    const node = await this.find(name.toString('latin1'), options)
    if (node !== undefined) await this.#view.countLinks(node)
    return node
  }

  /** By the Latin-1 key of a name; its links are not counted. */
  async find(key: string, options: ReadOptions = {}): Promise<ImageNode | undefined> {
    let first: FirstPart | undefined
    for (let k = 0; ; k++) {
      const part = await this.part(k, options)
      if (part === undefined) return undefined
      const found = await this.#childOf(part, key, options)
      if (!(await this.#isSettled(part, key, found, options))) {
        k = -1
        first = undefined
      } else if (found?.isMade === true) {
        const own = { k, part: { ...part, node: found } }
        return this.#nodeOf(key, (found.children === undefined ? undefined : first) ?? own, options)
      } else if (part.node.whiteouts?.has(key) === true) return undefined
      else if (found !== undefined) first ??= { k, part: { ...part, node: found } }
    }
  }

  async entries(options: ReadOptions = {}): Promise<readonly ImageEntry[]> {
    // One layer after the other would download them one after the other.
    await Promise.all(this.#view.layers.map(async (layer) => layer.ready(options)))
    await Promise.all(this.#view.layers.map(async (_, index) => this.#view.settledTree(index, options)))
    let entries = await this.#settledEntries(options)
    while (entries === undefined) entries = await this.#settledEntries(options)
    return entries.sort((a, b) => Buffer.compare(a.name, b.name))
  }

  /** As `watch` gives them, without a wait for each. Undefined: something was not settled, so once more. */
  async #settledEntries(options: ReadOptions): Promise<ImageEntry[] | undefined> {
    const nodes = new Map<string, ImageNode>()
    const hidden = new Set<string>()
    const firsts = new Map<string, FirstPart>()
    for (let k = 0; ; k++) {
      const part = await this.part(k, options)
      if (part === undefined) break
      const { layerIndex } = part
      for (const [key, found] of part.node.children?.entries() ?? []) {
        if (nodes.has(key) || hidden.has(key)) continue
        const isPlain = found.children === undefined && found.unresolvedLink === undefined
        if (!isPlain && (await this.#isElsewhere(part, key, found))) continue
        const node = isPlain
          ? this.#view.fileOf(found, layerIndex)
          : await this.#shown(firsts, key, { k, part: { ...part, node: found } }, options)
        if (node === undefined) continue
        if (this.#view.countsLinks) await this.#view.countLinks(node)
        nodes.set(key, node)
      }
      if (!(await this.#isSettled(part, '', undefined, options))) return undefined
      for (const key of part.node.whiteouts ?? []) hidden.add(key)
    }
    return [...nodes].map(([key, node]) => ({ name: Buffer.from(key, 'latin1'), node }))
  }

  async *watch(options: ReadOptions = {}): AsyncIterable<ImageEntry> {
    const settled = new Set<string>()
    const firsts = new Map<string, FirstPart>()
    for (let k = 0; ; k++) {
      const part = await this.part(k, options)
      if (part === undefined) return
      for await (const [key, found] of this.#childrenOf(part, options)) {
        if (settled.has(key)) continue
        if (await this.#isElsewhere(part, key, found)) continue
        const node = await this.#shown(firsts, key, { k, part: { ...part, node: found } }, options)
        if (node === undefined) continue
        settled.add(key)
        await this.#view.countLinks(node)
        yield { name: Buffer.from(key, 'latin1'), node }
      }
      if (!(await this.#isSettled(part, '', undefined, options))) {
        k = -1
        firsts.clear()
      } else for (const key of part.node.whiteouts ?? []) settled.add(key)
    }
  }

  hasPart(node: LayerNode): boolean {
    return this.#parts.some((part) => part.node === node)
  }

  /** The k-th part from the top; undefined when there are fewer. */
  async part(k: number, options: ReadOptions): Promise<Part | undefined> {
    for (;;) {
      if (this.#parts.some((part) => this.#isGone(part))) this.#forget()
      const part = this.#parts[k]
      if (part !== undefined || this.#isClosed) return part
      await this.#askFurther(options)
    }
  }

  /** Shared by all who wait, so no one's signal may end it. */
  async #askFurther(options: ReadOptions): Promise<void> {
    this.#extending ??= this.#extend().finally(() => (this.#extending = undefined))
    await abortable(this.#extending, options.signal)
  }

  #isGone(part: Part): boolean {
    return this.#view.treeOf(part.layerIndex) !== part.tree
  }

  /** A first pass began anew, or the members of a layer go elsewhere than it seemed: look again. */
  #forget(): void {
    this.#parts = []
    this.#hidden = undefined
    this.#next = 0
    this.#isClosed = false
    this.#complete = false
    this.#directories.clear()
  }

  async #extend(): Promise<void> {
    if (this.#parent === undefined) {
      const layerIndex = this.#view.layers.length - 1 - this.#next
      if (layerIndex < 0) {
        this.#end()
        return
      }
      await this.#layer(layerIndex).until((tree) => tree.root)
      const tree = this.#view.treeOf(layerIndex)
      this.#next++
      if (tree !== undefined) this.#add({ layerIndex, tree, node: tree.root })
      return
    }
    const above = await this.#parent.part(this.#next, {})
    if (above === undefined) {
      this.#end()
      return
    }
    const node = await this.#childOf(above, this.#key, {})
    if (!(await this.#parent.#isSettled(above, this.#key, node, {}))) {
      this.#forget()
      return
    }
    this.#next++
    if (node?.children !== undefined) this.#add({ ...above, node })
    else if (node !== undefined || above.node.whiteouts?.has(this.#key) === true) this.#end()
  }

  #add(part: Part): void {
    if (!this.#isClosed) this.#parts.push(part)
    else if (part.node.isNamed) this.#hidden = part
    if (part.node.opaque) this.#isClosed = true
    if (part.node.isNew || (this.#isClosed && this.#named !== undefined)) this.#end()
  }

  #end(): void {
    this.#isClosed = true
    this.#complete = true
  }

  /**
   * Whether what a part has under a name (nothing is undefined) can be taken as it is. False: where the members of that
   * layer go is known better now, and it is to be asked anew.
   */
  async #isSettled(
    part: Part,
    key: string,
    found: LayerNode | undefined,
    options: ReadOptions,
  ): Promise<boolean> {
    const { tree, layerIndex } = part
    const isBelieved =
      this.#view.isWhole && tree.linksThrough.size === 0 && !(await this.#view.canSettle(layerIndex, tree))
    if (isBelieved && found !== undefined && !(await this.#isElsewhere(part, key, found))) {
      const mayLinkBelow = found.linkCount > 1 && tree.hasForwardLinks
      if (!mayLinkBelow) return true
    }
    await this.#view.settledTree(layerIndex, options)
    return !this.#isGone(part)
  }

  /** Whether a symbolic link of the layers below stands where a layer seems to have a directory. */
  async #isElsewhere({ layerIndex, tree }: Part, key: string, node: LayerNode): Promise<boolean> {
    if (node.children === undefined || node.isNamed || this.#view.isSettled(layerIndex, tree)) return false
    return this.#view.isLinkBelow(node, layerIndex, [...this.#path, key])
  }

  /** What a part has under a name. A directory that only markers imply is taken for that when no member can come. */
  async #childOf(
    { layerIndex, node }: Part,
    key: string,
    options: ReadOptions,
  ): Promise<LayerNode | undefined> {
    const made = await this.#layer(layerIndex).until(() => {
      const child = node.children?.get(key)
      return child?.isMade === true ? child : undefined
    }, options)
    return made ?? node.children?.get(key)
  }

  /** Undefined, and kept among `firsts`: nothing but markers that are for a directory of the layers below, if there is one. */
  async #shown(
    firsts: Map<string, FirstPart>,
    key: string,
    own: FirstPart,
    options: ReadOptions,
  ): Promise<ImageNode | undefined> {
    const first = firsts.get(key) ?? own
    const { node } = own.part
    if (node.isMade) return this.#nodeOf(key, node.children === undefined ? own : first, options)
    firsts.set(key, first)
    return undefined
  }

  async #nodeOf(key: string, { k, part }: FirstPart, options: ReadOptions): Promise<ImageNode> {
    const { node, layerIndex } = part
    if (node.unresolvedLink !== undefined) return this.#view.resolveLink(node, layerIndex, options)
    if (node.children === undefined) return this.#view.fileOf(node, layerIndex)
    let directory = this.#directories.get(key)
    if (directory?.hasPart(node) !== true) {
      directory = new MergedDirectory(this.#view, this, key, k + 1, part)
      this.#directories.set(key, directory)
    }
    // A directory that this layer only implies has the attributes that a layer below gives it.
    while (directory.#named === undefined && !directory.#complete) await directory.#askFurther(options)
    return directory
  }

  /** Directories that only markers imply come last. */
  async *#childrenOf(part: Part, options: ReadOptions): AsyncIterable<readonly [string, LayerNode]> {
    const children = part.node.children ?? new Map<string, LayerNode>()
    const unmade: string[] = []
    const layer = this.#layer(part.layerIndex)
    const iterator = children.entries()
    let taken = 0
    for (let running = true; running;) {
      running = (await layer.until(() => (children.size > taken ? true : undefined), options)) !== undefined
      // A map's iterator goes on with what is added later, but never again once it has said `done`.
      while (running ? taken < children.size : true) {
        const next = iterator.next()
        if (next.done === true) break
        taken++
        if (next.value[1].isMade) yield next.value
        else unmade.push(next.value[0])
      }
    }
    for (const key of unmade) {
      const found = children.get(key)
      if (found !== undefined) yield [key, found]
    }
  }

  #layer(index: number): Layer {
    return this.#view.layers[index] as Layer
  }
}
