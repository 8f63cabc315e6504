import type { Layer } from '../layer/layer.js'
import type { LayerTree } from '../layer/layer-tree.js'
import type { LayerNode } from '../layer/tree-node.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import type { MergedView } from './merged-view.js'

/** A layer's directory node that is visible here. It is valid while the layer still has the same tree. */
export interface Part {
  readonly layerIndex: number
  readonly tree: LayerTree
  readonly node: LayerNode
}

/** Where a directory is looked for: in those of the directory that it is in. */
export interface PartsPlace {
  readonly above: DirectoryParts
  /** Latin-1 key of the name there. */
  readonly key: string
  readonly first: Part
  /** Which of the parts above to ask next. */
  readonly next: number
}

/**
 * The parts of one directory, top-most first, found one by one as they are needed. A part is looked for in the parts of the
 * directory above in turn, until a whiteout, an opaque directory or something that is no directory hides the rest.
 */
export class DirectoryParts {
  readonly #view: MergedView
  readonly #onForget: () => void
  readonly #above: DirectoryParts | undefined
  /** '' at the root. */
  readonly #key: string
  #parts: Part[] = []
  /** Which of the parts above (at the root: how many layers from the top) to ask next. */
  #next: number
  /** Nothing below the last part shows through. */
  #isClosed = false
  /** Of a directory that is closed by parts that no member names: where its attributes come from. */
  #hidden: Part | undefined
  /** There is nothing more to ask for. */
  #complete = false
  /** Directories above may still turn out to be opaque in layers that have this one, too: all others were read to the end. */
  #mayBeHidden = false
  #extending: Promise<void> | undefined

  /** `onForget`: what was found in the parts so far is not there any more. Without a place it is the root. */
  constructor(view: MergedView, onForget: () => void, place?: PartsPlace) {
    this.#view = view
    this.#onForget = onForget
    this.#above = place?.above
    this.#key = place?.key ?? ''
    this.#next = place?.next ?? 0
    if (place !== undefined) this.#add(place.first)
  }

  /** Latin-1 components. */
  get #path(): readonly string[] {
    const path: string[] = []
    let key = this.#key
    let above = this.#above
    while (above !== undefined) {
      path.unshift(key)
      key = above.#key
      above = above.#above
    }
    return path
  }

  /** The part that gives the attributes: the top-most that a member names. */
  get named(): Part | undefined {
    const named = this.#parts.find((part) => part.node.isNamed) ?? this.#hidden
    return named !== undefined && this.#isHiddenAbove(named) ? undefined : named
  }

  /** Where the view is at rest: nothing is behind the parts that `peek` gives. */
  get isAllThere(): boolean {
    return (this.#isClosed || this.#isOpaque) && !this.#hasGone
  }

  /** Looks for `named`. */
  async findNamed(options: ReadOptions): Promise<void> {
    while (!this.#knowsNamed) await this.#askFurther(options)
  }

  /** The same where the view is at rest. False: somebody is about to. */
  peekNamed(): boolean {
    while (!this.#knowsNamed) if (!this.#extendAtRest()) return false
    return true
  }

  get #knowsNamed(): boolean {
    return this.#complete || this.named !== undefined
  }

  has(node: LayerNode): boolean {
    return this.#parts.some((part) => part.node === node)
  }

  /** The k-th part from the top; undefined when there are fewer. */
  async get(k: number, options: ReadOptions): Promise<Part | undefined> {
    for (;;) {
      if (this.#hasGone) this.#forget()
      const part = this.#parts[k]
      if (part !== undefined) return this.#isHidden(part) ? undefined : part
      if (this.#isClosed || this.#isOpaque) return undefined
      await this.#askFurther(options)
    }
  }

  /** The same where the view is at rest; undefined also where somebody looks for more at the moment. */
  peek(k: number): Part | undefined {
    if (this.#hasGone) {
      if (this.#extending !== undefined) return undefined
      this.#forget()
    }
    while (this.#parts[k] === undefined && !this.#isClosed && !this.#isOpaque)
      if (!this.#extendAtRest()) return undefined
    const part = this.#parts[k]
    return part === undefined || this.#isHidden(part) ? undefined : part
  }

  /** Shared by all who wait, so no one's signal may end it. */
  async #askFurther(options: ReadOptions): Promise<void> {
    this.#extending ??= this.#extend().finally(() => (this.#extending = undefined))
    await abortable(this.#extending, options.signal)
  }

  /** Opaque directories of layers above show themselves only when those are read. */
  #isHidden(part: Part): boolean {
    return this.#parts.some((over) => isHiddenBy(part, over)) || this.#isHiddenAbove(part)
  }

  #isHiddenAbove(part: Part): boolean {
    if (!this.#mayBeHidden) return false
    for (let above = this.#above; above !== undefined; above = above.#above)
      if (above.#parts.some((over) => isHiddenBy(part, over))) return true
    return false
  }

  get #isOpaque(): boolean {
    return this.#parts.some((part) => part.node.opaque)
  }

  get #hasGone(): boolean {
    return this.#parts.some((part) => this.#isGone(part))
  }

  /** A layer may also have put something else in a directory's place. */
  #isGone({ layerIndex, tree, node }: Part): boolean {
    return this.#view.treeOf(layerIndex) !== tree || node.linkCount === 0
  }

  /** A first pass began anew, or the members of a layer go elsewhere than it seemed: look again. */
  #forget(): void {
    this.#parts = []
    this.#hidden = undefined
    this.#next = 0
    this.#isClosed = false
    this.#complete = false
    this.#mayBeHidden = false
    this.#onForget()
  }

  async #extend(): Promise<void> {
    // Another array once they were forgotten meanwhile: what was found then has no place among the new ones.
    const parts = this.#parts
    if (this.#above === undefined) {
      const layerIndex = this.#view.layers.length - 1 - this.#next
      if (layerIndex < 0) {
        this.#end()
        return
      }
      await this.#layer(layerIndex).until((tree) => tree.root)
      if (this.#parts === parts) this.#takeRoot(layerIndex)
      return
    }
    const above = await this.#above.get(this.#next, {})
    if (this.#parts !== parts) return
    if (above === undefined) {
      this.#end()
      return
    }
    const node = await this.childOf(above, this.#key, {})
    // No end is believed before it is known for certain: it would be one for good.
    const isEnd = node !== undefined && node.children === undefined
    const isSettled = isEnd
      ? await this.#above.#isStill(above, this.#key, node, {})
      : await this.#above.isSettled(above, this.#key, node, {})
    if (this.#parts !== parts) return
    if (isSettled) this.#takeBelow(above, node)
    else this.#forget()
  }

  /** As `#extend`, without a wait. False: it is under way. */
  #extendAtRest(): boolean {
    if (this.#extending !== undefined) return false
    if (this.#above === undefined) {
      const layerIndex = this.#view.layers.length - 1 - this.#next
      if (layerIndex < 0) this.#end()
      else this.#takeRoot(layerIndex)
      return true
    }
    const above = this.#above.peek(this.#next)
    if (above !== undefined) this.#takeBelow(above, above.node.children?.get(this.#key))
    else if (this.#above.isAllThere) this.#end()
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
    this.#mayBeHidden ||= this.#parts.some(({ layerIndex }) => this.#layer(layerIndex).state !== 'ready')
    if (!this.#isClosed) this.#parts.push(part)
    else if (part.node.isNamed) this.#hidden = part
    if (part.node.opaque) this.#isClosed = true
    if (part.node.isNew || (this.#isClosed && this.named !== undefined)) this.#end()
  }

  #end(): void {
    this.#isClosed = true
    this.#complete = true
  }

  /**
   * Whether what a part has under a name (nothing is undefined) can be taken as it is. False: where the members of that
   * layer go is known better now, and it is to be asked anew.
   */
  async isSettled(
    part: Part,
    key: string,
    found: LayerNode | undefined,
    options: ReadOptions,
  ): Promise<boolean> {
    const { tree, layerIndex } = part
    const isBelieved =
      this.#view.isWhole && tree.linksThrough.size === 0 && !(await this.#view.canSettle(layerIndex, tree))
    if (isBelieved && found !== undefined && !(await this.isElsewhere(part, key, found))) {
      // A link out of its layer is one to what the layers below have, perhaps by way of another such link.
      const mayLinkBelow = found.unresolvedLink !== undefined || (found.linkCount > 1 && tree.hasForwardLinks)
      if (!mayLinkBelow) return true
    }
    return this.#isStill(part, key, found, options)
  }

  /** The same once it is known for certain where the layer's members go. */
  async #isStill(
    part: Part,
    key: string,
    found: LayerNode | undefined,
    options: ReadOptions,
  ): Promise<boolean> {
    await this.#view.settledTree(part.layerIndex, options)
    // The tree may be the same, and have come to something else under that name meanwhile.
    return !this.#isGone(part) && part.node.children?.get(key) === found
  }

  /** What a part has under a name. A directory that only markers imply is taken for that when no member can come. */
  async childOf(
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

  /** Whether a symbolic link of the layers below stands where a layer seems to have a directory. */
  async isElsewhere({ layerIndex, tree }: Part, key: string, node: LayerNode): Promise<boolean> {
    if (node.children === undefined || node.isNamed || this.#view.isSettled(layerIndex, tree)) return false
    return this.#view.isLinkBelow(node, layerIndex, [...this.#path, key])
  }

  #layer(index: number): Layer {
    return this.#view.layers[index] as Layer
  }
}

function isHiddenBy(part: Part, over: Part): boolean {
  return over.node.opaque && over.layerIndex > part.layerIndex
}
