import type { ByteSource } from '../blob/source.js'
import type {
  FileNumber,
  Image,
  ImageEntry,
  ImageNode,
  NodeAttributes,
  NumberedFiles,
} from '../image/image.js'
import { formatReference } from '../registry/reference.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { Facts, NodeNumber, NumberedNodes, TreeEntry, TreeLookup, TreeNode } from './node.js'
import { nameValidMs } from './place.js'

/**
 * One image as one directory of the mount shows it. The same image under two names is two of these, for a directory
 * must have one parent only; members are made as they are met, one for each node of the image.
 */
export class ImageDirectory {
  readonly image: Image
  readonly #members = new WeakMap<object, Member>()
  readonly #numbered = new WeakMap<NumberedFiles, NumberedMembers>()

  constructor(image: Image) {
    this.image = image
  }

  get root(): Member {
    return this.memberOf(this.image.root)
  }

  memberOf(node: ImageNode): Member {
    let member = this.#members.get(node)
    if (member === undefined) {
      member = new Member(this, node)
      this.#members.set(node, member)
    }
    return member
  }

  numberOf({ files, index }: FileNumber): NodeNumber {
    return { nodes: this.#membersOf(files), index }
  }

  /** The same object as long as the files are. */
  #membersOf(files: NumberedFiles): NumberedMembers {
    let members = this.#numbered.get(files)
    if (members === undefined) {
      members = new NumberedMembers(this, files)
      this.#numbered.set(files, members)
    }
    return members
  }
}

/** An image's numbered files as they are shown. */
class NumberedMembers implements NumberedNodes {
  readonly #directory: ImageDirectory
  readonly #files: NumberedFiles

  constructor(directory: ImageDirectory, files: NumberedFiles) {
    this.#directory = directory
    this.#files = files
  }

  nodeAt(index: number): Member {
    return this.#directory.memberOf(this.#files.nodeAt(index))
  }

  attributesAt(index: number): NodeAttributes {
    return this.#files.attributesAt(index)
  }

  isBareAt(index: number): boolean {
    return this.#files.isBareAt(index)
  }
}

class MemberEntry implements TreeEntry {
  readonly #directory: ImageDirectory
  readonly #entry: ImageEntry

  constructor(directory: ImageDirectory, entry: ImageEntry) {
    this.#directory = directory
    this.#entry = entry
  }

  get name(): Buffer {
    return this.#entry.name
  }

  get type(): NodeAttributes['type'] {
    return this.#entry.type
  }

  get node(): Member {
    return this.#directory.memberOf(this.#entry.node)
  }

  get number(): NodeNumber | undefined {
    const { number } = this.#entry
    return number && this.#directory.numberOf(number)
  }
}

/** A node of an image: is, say, /quay.io/containerdisks/fedora:40 (its root) or /fedora/disk/fedora.qcow2. */
export class Member implements TreeNode {
  readonly #directory: ImageDirectory
  readonly #node: ImageNode

  constructor(directory: ImageDirectory, node: ImageNode) {
    this.#directory = directory
    this.#node = node
  }

  get type(): NodeAttributes['type'] {
    return this.#node.type
  }

  get number(): NodeNumber | undefined {
    const { number } = this.#node
    return number && this.#directory.numberOf(number)
  }

  get attributes(): NodeAttributes {
    return this.#node.attributes
  }

  get image(): Image {
    return this.#directory.image
  }

  get linkName(): Buffer {
    return this.#node.linkName
  }

  get xattrs(): ReadonlyMap<string, Buffer> {
    return this.#node.xattrs
  }

  get isBare(): boolean {
    return this.#node.isBare === true
  }

  get isResolved(): boolean {
    return true
  }

  async resolve(): Promise<TreeNode> {
    return Promise.resolve(this)
  }

  async getAttributes(): Promise<NodeAttributes> {
    return Promise.resolve(this.attributes)
  }

  async lookup(name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined> {
    return this.#found(await this.#needed(this.#node.lookup(name, options), options))
  }

  peek(name: Buffer): TreeLookup | undefined {
    return this.#found(this.#node.peek?.(name))
  }

  async entries(options?: ReadOptions): Promise<readonly TreeEntry[]> {
    return this.#shown(await this.#needed(this.#node.entries(options), options))
  }

  peekEntries(): readonly TreeEntry[] | undefined {
    const entries = this.#node.peekEntries?.()
    return entries && this.#shown(entries)
  }

  /** Whoever has given up needs nothing, whatever is shared with others and goes on. */
  async #needed<T>(found: Promise<T>, options: ReadOptions | undefined): Promise<T> {
    if (this.image.isProven) return found
    const letGo = this.image.hold()
    return abortable(found, options?.signal).finally(letGo)
  }

  #shown(entries: readonly ImageEntry[]): readonly TreeEntry[] {
    return entries.map((entry) => new MemberEntry(this.#directory, entry))
  }

  async open(): Promise<ByteSource> {
    if (this.type === 'directory') throw new RegistryFsError('IS_A_DIRECTORY', 'is a directory')
    if (this.type !== 'file') throw new RegistryFsError('INVALID', `a ${this.type} has no content`)
    const node = this.#node
    return node.openCopied?.() ?? Promise.resolve(node.open())
  }

  async explain(): Promise<Facts> {
    const { image } = this
    const facts = new Map<string, string>()
    facts.set('image', formatReference(image.reference))
    facts.set('digest', image.manifest.digest)
    const { origin, attributes } = this.#node
    if (origin === undefined) return Promise.resolve(facts)
    facts.set('layer', origin.layer)
    facts.set('mediatype', origin.mediaType)
    facts.set('offset', String(origin.dataOffset))
    if (attributes.type === 'file') facts.set('size', String(attributes.size))
    return Promise.resolve(facts)
  }

  #found(node: ImageNode | undefined): TreeLookup | undefined {
    if (node === undefined) return undefined
    const validMs = this.image.isProven ? Infinity : nameValidMs
    return { node: this.#directory.memberOf(node), validMs }
  }
}
