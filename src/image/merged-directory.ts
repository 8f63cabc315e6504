import type { Layer } from '../layer/layer.js'
import type { LayerNode } from '../layer/tree-node.js'
import type { ByteSource } from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import { DirectoryParts, type Part, type PartsPlace } from './directory-parts.js'
import type { ImageEntry, ImageNode, NodeAttributes, NodeOrigin } from './image.js'
import { ListedFile, ListedNode } from './listed.js'
import { directoryAttributes } from './member-attributes.js'
import { memberOrigin } from './merged-file.js'
import type { MergedView } from './merged-view.js'

type Listed = ListedFile | ListedNode
type Wait = (options: ReadOptions) => Promise<unknown>

/** Of what has a name here: where among the parts it begins. */
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

/** A directory as several layers have it (directory-parts.ts), with what they have in it. */
export class MergedDirectory implements ImageNode {
  readonly type = 'directory'
  readonly linkName = Buffer.alloc(0)
  readonly #view: MergedView
  readonly #parts: DirectoryParts
  readonly #directories = new Map<string, MergedDirectory>()

  constructor(view: MergedView, place?: PartsPlace) {
    this.#view = view
    this.#parts = new DirectoryParts(
      view,
      () => {
        this.#directories.clear()
      },
      place,
    )
  }

  get attributes(): NodeAttributes {
    const named = this.#parts.named?.node.member
    return named === undefined ? madeUp : directoryAttributes(named)
  }

  get origin(): NodeOrigin | undefined {
    const part = this.#parts.named
    return part?.node.member === undefined
      ? undefined
      : memberOrigin(this.#layer(part.layerIndex), part.layerIndex, part.node.member)
  }

  get xattrs(): ReadonlyMap<string, Buffer> {
    return this.#parts.named?.node.member?.xattrs ?? noXattrs
  }

  open(): ByteSource {
    throw new RegistryFsError('IS_A_DIRECTORY', 'a directory has no content')
  }

  async lookup(name: Buffer, options: ReadOptions = {}): Promise<ImageNode | undefined> {
    const key = name.toString('latin1')
    const begin = await this.#beginOf(key, options)
    if (begin === undefined) return undefined
    const node = await this.#countedNodeOf(key, begin, options)
    if (node === undefined) throw this.#view.danglingLink(begin.part.node, begin.part.layerIndex)
    return node
  }

  peek(name: Buffer): ImageNode | undefined {
    if (!this.#view.isAtRest) return undefined
    const key = name.toString('latin1')
    let first: FirstPart | undefined
    for (let k = 0; ; k++) {
      const part = this.#parts.peek(k)
      if (part === undefined) return undefined
      const found = part.node.children?.get(key)
      const own = found === undefined ? undefined : { k, part: { ...part, node: found } }
      if (own?.part.node.isMade === true) return this.#peekNode(key, beginOf(own, first))
      if (part.node.whiteouts?.has(key) === true) return undefined
      first ??= own
    }
  }

  /** By the Latin-1 key of a name; its links are not counted. A hard link that leads nowhere is nothing. */
  async find(key: string, options: ReadOptions = {}): Promise<ImageNode | undefined> {
    const begin = await this.#beginOf(key, options)
    return begin === undefined ? undefined : this.#nodeOf(key, begin, options)
  }

  async #beginOf(key: string, options: ReadOptions): Promise<FirstPart | undefined> {
    let first: FirstPart | undefined
    for (let k = 0; ; k++) {
      const part = await this.#parts.get(k, options)
      if (part === undefined) return undefined
      const found = await this.#parts.childOf(part, key, options)
      const own = found === undefined ? undefined : { k, part: { ...part, node: found } }
      if (!(await this.#parts.isSettled(part, key, found, options))) {
        k = -1
        first = undefined
      } else if (own?.part.node.isMade === true) return beginOf(own, first)
      else if (part.node.whiteouts?.has(key) === true) return undefined
      else first ??= own
    }
  }

  async entries(options: ReadOptions = {}): Promise<readonly ImageEntry[]> {
    const made = new Map<LayerNode, ImageNode | undefined>()
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

  /** All entries, those of `made` as it has them (undefined: not at all). Undefined: `waits` are to be waited for first. */
  #list(made: Map<LayerNode, ImageNode | undefined>, waits: Wait[]): readonly Listed[] | undefined {
    const { isAtRest } = this.#view
    const entries: Listed[] = []
    /** Names that the layers so far have or hide. */
    const settled = new Set<string>()
    const firsts = new Map<string, FirstPart>()
    let noted = 0
    for (let k = 0; ; k++) {
      const part = isAtRest ? this.#parts.peek(k) : undefined
      if (part === undefined) {
        if (!isAtRest || !this.#parts.isAllThere) waits.push(async (options) => this.#rest(options))
        break
      }
      for (; noted < entries.length; noted++) settled.add((entries[noted] as Listed).key)
      const { layerIndex } = part
      const files = this.#view.filesOf(part.node.tree, layerIndex)
      const mayBeLinked = this.#view.peekLinksAbove(layerIndex)
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
        const begin = shownBegin(firsts, key, { k, part: { ...part, node } })
        if (begin === undefined) continue
        const known = made.get(node) ?? this.#peekNode(key, begin)
        if (known !== undefined) entries.push(new ListedNode(key, known))
        else {
          settled.add(key)
          if (!made.has(node))
            waits.push(async (options) => made.set(node, await this.#shownNodeOf(key, begin, options)))
        }
      }
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
    await this.#parts.get(Infinity, options)
  }

  async #shownNodeOf(key: string, begin: FirstPart, options: ReadOptions): Promise<ImageNode | undefined> {
    const node = await this.#countedNodeOf(key, begin, options)
    if (node === undefined) this.#view.leaveOut(begin.part.node, begin.part.layerIndex)
    return node
  }

  async #countedNodeOf(key: string, begin: FirstPart, options: ReadOptions): Promise<ImageNode | undefined> {
    const node = await this.#nodeOf(key, begin, options)
    if (node !== undefined) await this.#view.countLinks(node)
    return node
  }

  async *watch(options: ReadOptions = {}): AsyncIterable<ImageEntry> {
    const settled = new Set<string>()
    const firsts = new Map<string, FirstPart>()
    for (let k = 0; ; k++) {
      const part = await this.#parts.get(k, options)
      if (part === undefined) return
      for await (const [key, found] of this.#childrenOf(part, options)) {
        if (settled.has(key)) continue
        if (isLinkOut(found) && !(await this.#parts.isSettled(part, key, found, options))) break
        if (await this.#parts.isElsewhere(part, key, found)) continue
        const begin = shownBegin(firsts, key, { k, part: { ...part, node: found } })
        if (begin === undefined) continue
        settled.add(key)
        const node = await this.#shownNodeOf(key, begin, options)
        if (node !== undefined) yield new ListedNode(key, node)
      }
      if (!(await this.#parts.isSettled(part, '', undefined, options))) {
        k = -1
        firsts.clear()
      } else for (const key of part.node.whiteouts ?? []) settled.add(key)
    }
  }

  /** Undefined: a hard link that leads nowhere. */
  async #nodeOf(key: string, begin: FirstPart, options: ReadOptions): Promise<ImageNode | undefined> {
    const { node, layerIndex } = begin.part
    if (node.unresolvedLink !== undefined) return this.#view.resolveLink(node, layerIndex, options)
    if (node.children === undefined) return this.#view.fileOf(node, layerIndex)
    const directory = this.#directoryOf(key, begin)
    // A directory that this layer only implies has the attributes that a layer below gives it.
    await directory.#parts.findNamed(options)
    return directory
  }

  /** The same where the view is at rest; undefined where something has to be waited for or counted. */
  #peekNode(key: string, begin: FirstPart): ImageNode | undefined {
    const { node, layerIndex } = begin.part
    if (node.children === undefined) return this.#view.peekFile(node, layerIndex)
    const directory = this.#directoryOf(key, begin)
    return directory.#parts.peekNamed() ? directory : undefined
  }

  #directoryOf(key: string, { k, part }: FirstPart): MergedDirectory {
    let directory = this.#directories.get(key)
    if (directory === undefined || !directory.#parts.has(part.node)) {
      directory = new MergedDirectory(this.#view, { above: this.#parts, key, next: k + 1, first: part })
      this.#directories.set(key, directory)
    }
    return directory
  }

  /** What only the end of the layer decides comes last: directories that only markers imply, links to the layers below. */
  async *#childrenOf(part: Part, options: ReadOptions): AsyncIterable<readonly [string, LayerNode]> {
    const children = part.node.children ?? new Map<string, LayerNode>()
    const undecided: string[] = []
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
        const [key, found] = next.value
        if (found.isMade && !isLinkOut(found)) yield next.value
        else undecided.push(key)
      }
    }
    for (const key of undecided) {
      const found = children.get(key)
      if (found !== undefined) yield [key, found]
    }
  }

  #layer(index: number): Layer {
    return this.#view.layers[index] as Layer
  }
}

/** A hard link to what its own layer does not have. */
const isLinkOut = (node: LayerNode): boolean => node.unresolvedLink !== undefined

/** A directory begins where markers for it do. */
function beginOf(own: FirstPart, first: FirstPart | undefined): FirstPart {
  return own.part.node.children === undefined ? own : (first ?? own)
}

/** Undefined, and kept among `firsts`: nothing but markers that are for a directory of the layers below, if there is one. */
function shownBegin(firsts: Map<string, FirstPart>, key: string, own: FirstPart): FirstPart | undefined {
  const first = firsts.get(key)
  if (own.part.node.isMade) return beginOf(own, first)
  if (first === undefined) firsts.set(key, own)
  return undefined
}
