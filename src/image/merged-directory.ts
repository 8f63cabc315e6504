import type { Layer } from '../layer/layer.js'
import type { LayerTree } from '../layer/layer-tree.js'
import type { LayerNode } from '../layer/tree-node.js'
import type { ByteSource } from '../blob/source.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { ImageEntry, ImageNode, NodeAttributes, NodeOrigin } from './image.js'
import { ListedFile, ListedNode } from './listed.js'
import { directoryAttributes } from './member-attributes.js'
import { memberOrigin } from './merged-file.js'
import type { MergedView } from './merged-view.js'

type Listed = ListedFile | ListedNode
type Wait = (options: ReadOptions) => Promise<unknown>

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
    return named === undefined ? madeUp : directoryAttributes(named)
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

  peek(name: Buffer): ImageNode | undefined {
    if (!this.#view.isAtRest) return undefined
    const key = name.toString('latin1')
    for (let k = 0; ; k++) {
      const part = this.#peekPart(k)
      const found = part?.node.children?.get(key)
      if (part === undefined) return undefined
      if (found !== undefined) return this.#peekDirectory(key, k, { ...part, node: found })
      if (part.node.whiteouts?.has(key) === true) return undefined
    }
  }

  /** By the Latin-1 key of a name; its links are not counted. */
  async find(key: string, options: ReadOptions = {}): Promise<ImageNode | undefined> {
    for (let k = 0; ; k++) {
      const part = await this.part(k, options)
      if (part === undefined) return undefined
      const found = await this.#layer(part.layerIndex).until(() => part.node.children?.get(key), options)
      if (!(await this.#isSettled(part, key, found, options))) k = -1
      else if (found !== undefined) return this.#nodeOf(key, k, { ...part, node: found }, options)
      else if (part.node.whiteouts?.has(key) === true) return undefined
    }
  }

  async entries(options: ReadOptions = {}): Promise<readonly ImageEntry[]> {
    const made = new Map<LayerNode, ImageNode>()
    for (;;) {
      const waits: Wait[] = []
      const entries = this.#list(made, waits)
      if (entries !== undefined) return entries
      for (const wait of waits) await wait(options)
    }
  }

  peekEntries(): readonly ImageEntry[] | undefined {
    return this.#list(new Map(), [])
  }

  /** All entries, those of `made` as it has them. Undefined: `waits` are to be waited for first. */
  #list(made: Map<LayerNode, ImageNode>, waits: Wait[]): readonly Listed[] | undefined {
    const entries: Listed[] = []
    /** Names that the layers so far have or hide. */
    const settled = new Set<string>()
    for (let k = 0; ; k++) {
      const part = this.#view.isAtRest ? this.#peekPart(k) : undefined
      if (part === undefined) {
        if (!this.#isAllThere) waits.push(async (options) => this.#rest(options))
        break
      }
      const { layerIndex } = part
      const files = this.#view.filesOf(part.node.tree, layerIndex)
      const mayBeLinked = this.#view.peekLinksAbove(layerIndex)
      const first = entries.length
      for (const [key, found] of part.node.children?.listed() ?? []) {
        if (settled.has(key)) continue
        if (typeof found === 'number') {
          if (mayBeLinked === false) {
            entries.push(new ListedFile(key, files, found))
            continue
          }
          if (mayBeLinked === undefined) {
            waits.push(async () => this.#view.findLinksAbove(layerIndex))
            return undefined
          }
        }
        const node = typeof found === 'number' ? part.node.tree.nodeAt(found) : found
        const child = { ...part, node }
        const known = made.get(node) ?? this.#peekDirectory(key, k, child)
        if (known !== undefined) entries.push(new ListedNode(key, known))
        else waits.push(async (options) => made.set(node, await this.#countedNodeOf(key, k, child, options)))
      }
      for (let i = first; i < entries.length; i++) settled.add((entries[i] as Listed).key)
      for (const key of part.node.whiteouts ?? []) settled.add(key)
    }
    if (waits.length > 0) return undefined
    // Latin-1: in the order of their bytes.
    return entries.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  /** Waits until there is nothing more to wait for. */
  async #rest(options: ReadOptions): Promise<void> {
    // One layer after the other would download them one after the other.
    await Promise.all(this.#view.layers.map(async (layer) => layer.ready(options)))
    await Promise.all(this.#view.layers.map(async (_, index) => this.#view.settledTree(index, options)))
    await this.part(Infinity, options)
  }

  get #isAllThere(): boolean {
    return this.#isClosed && this.#extending === undefined && this.#view.isAtRest
  }

  async #countedNodeOf(key: string, k: number, part: Part, options: ReadOptions): Promise<ImageNode> {
    const node = await this.#nodeOf(key, k, part, options)
    await this.#view.countLinks(node)
    return node
  }

  async *watch(options: ReadOptions = {}): AsyncIterable<ImageEntry> {
    const settled = new Set<string>()
    for (let k = 0; ; k++) {
      const part = await this.part(k, options)
      if (part === undefined) return
      for await (const [key, found] of this.#childrenOf(part, options)) {
        if (settled.has(key)) continue
        if (await this.#isElsewhere(part, key, found)) continue
        settled.add(key)
        yield new ListedNode(key, await this.#countedNodeOf(key, k, { ...part, node: found }, options))
      }
      if (!(await this.#isSettled(part, '', undefined, options))) k = -1
      else for (const key of part.node.whiteouts ?? []) settled.add(key)
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

  /** The same where the view is at rest; undefined also where somebody looks for more at the moment. */
  #peekPart(k: number): Part | undefined {
    if (this.#extending !== undefined) return undefined
    if (this.#parts.some((part) => this.#isGone(part))) this.#forget()
    while (this.#parts[k] === undefined && !this.#isClosed) if (!this.#extendAtRest()) return undefined
    return this.#parts[k]
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
      this.#takeRoot(layerIndex)
      return
    }
    const above = await this.#parent.part(this.#next, {})
    if (above === undefined) {
      this.#end()
      return
    }
    const node = await this.#layer(above.layerIndex).until(() => above.node.children?.get(this.#key))
    if (!(await this.#parent.#isSettled(above, this.#key, node, {}))) {
      this.#forget()
      return
    }
    this.#takeBelow(above, node)
  }

  /** As `#extend`, without a wait. False: it is under way. */
  #extendAtRest(): boolean {
    if (this.#extending !== undefined) return false
    if (this.#parent === undefined) {
      const layerIndex = this.#view.layers.length - 1 - this.#next
      if (layerIndex < 0) this.#end()
      else this.#takeRoot(layerIndex)
      return true
    }
    const parent = this.#parent
    const above = parent.#peekPart(this.#next)
    if (above !== undefined) this.#takeBelow(above, above.node.children?.get(this.#key))
    else if (parent.#isAllThere) this.#end()
    else return false
    return true
  }

  #takeRoot(layerIndex: number): void {
    const tree = this.#view.treeOf(layerIndex)
    this.#next++
    if (tree !== undefined) this.#add({ layerIndex, tree, node: tree.root })
  }

  #takeBelow(above: Part, node: LayerNode | undefined): void {
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
    const isBelieved = this.#view.isWhole && !(await this.#view.canSettle(layerIndex, tree))
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

  async #nodeOf(key: string, k: number, part: Part, options: ReadOptions): Promise<ImageNode> {
    const { node, layerIndex } = part
    if (node.unresolvedLink !== undefined) return this.#view.resolveLink(node, layerIndex, options)
    if (node.children === undefined) return this.#view.fileOf(node, layerIndex)
    const directory = this.#directoryOf(key, k, part)
    // A directory that this layer only implies has the attributes that a layer below gives it.
    while (!directory.#knowsAttributes) await directory.#askFurther(options)
    return directory
  }

  /** Where the view is at rest. Undefined also for what is no directory: a file's links are counted first. */
  #peekDirectory(key: string, k: number, part: Part): MergedDirectory | undefined {
    if (part.node.children === undefined) return undefined
    const directory = this.#directoryOf(key, k, part)
    while (!directory.#knowsAttributes) if (!directory.#extendAtRest()) return undefined
    return directory
  }

  get #knowsAttributes(): boolean {
    return this.#complete || this.#named !== undefined
  }

  #directoryOf(key: string, k: number, part: Part): MergedDirectory {
    let directory = this.#directories.get(key)
    if (directory?.hasPart(part.node) !== true) {
      directory = new MergedDirectory(this.#view, this, key, k + 1, part)
      this.#directories.set(key, directory)
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
