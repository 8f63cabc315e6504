import type { MemberType, TarMember } from '../tar/member.js'
import { Directory } from './tree-directory.js'
import type { TreeMembers } from './tree-members.js'

/** What is in a directory, by the Latin-1 text of the names' bytes. */
export interface Children {
  readonly size: number
  get(name: string): LayerNode | undefined
  keys(): Iterable<string>
  /** Those that are directories, as yet. */
  directories(): Iterable<readonly [string, LayerNode]>
  /** Goes on with what is added later, as that of a Map. */
  entries(): IterableIterator<readonly [string, LayerNode]>
  /** As it is now; plain files by their index in the layer's table. */
  listed(): Iterable<readonly [string, LayerNode | number]>
}

export interface LayerNode {
  readonly tree: TreeMembers
  /** In the layer's table, the same for as long as it is no directory; -1 where there is no member. */
  readonly memberIndex: number
  /** Decoded anew each time. Undefined for a directory that the layer only implies; may become defined later. */
  readonly member: TarMember | undefined
  /** The member's, found faster. */
  readonly type: MemberType
  /** Whether there is a member. */
  readonly isNamed: boolean
  /** False of a directory that nothing but markers for the layers below implies, as yet: it makes none where those have none. */
  readonly isMade: boolean
  /** Undefined for everything but directories. */
  readonly children: Children | undefined
  /** Names in this layer. */
  readonly linkCount: number
  /** Names (Latin-1) in this directory that hide what the layers below have. */
  readonly whiteouts: ReadonlySet<string> | undefined
  /** Hides all that the layers below have in this directory. */
  readonly opaque: boolean
  /** It is not the directory that the layers below have there: their attributes are not its own. */
  readonly isNew: boolean
  /** Latin-1 components of a hard link's target that this layer does not have. */
  readonly unresolvedLink: readonly string[] | undefined
  /** Where hard links made it known by several names: canonical paths, some of which may be something else by now. */
  readonly linkPaths: ReadonlySet<string> | undefined
}

const none = -1

/** A node as its tree sees it. */
export class TreeNode implements LayerNode {
  readonly tree: TreeMembers
  /** In the table; -1 for none. */
  memberIndex: number
  linkCount = 1
  directory: Directory | undefined
  unresolvedLink: readonly string[] | undefined = undefined
  linkPaths: Set<string> | undefined = undefined

  constructor(tree: TreeMembers, memberIndex: number, directory?: Directory) {
    this.tree = tree
    this.memberIndex = memberIndex
    this.directory = directory
  }

  static directory(tree: TreeMembers, memberIndex = none): TreeNode & { readonly directory: Directory } {
    const node = new TreeNode(tree, memberIndex, new Directory(tree))
    return node as TreeNode & { readonly directory: Directory }
  }

  get isNamed(): boolean {
    return this.memberIndex !== none
  }

  get member(): TarMember | undefined {
    return this.isNamed ? this.tree.table.get(this.memberIndex) : undefined
  }

  get isMade(): boolean {
    return this.isNamed || this.directory?.isMade !== false
  }

  get type(): MemberType {
    return this.directory === undefined && this.isNamed
      ? this.tree.table.typeOf(this.memberIndex)
      : 'directory'
  }

  get children(): Children | undefined {
    return this.directory
  }

  get whiteouts(): ReadonlySet<string> | undefined {
    return this.directory?.whiteouts
  }

  get opaque(): boolean {
    return this.directory?.opaque === true
  }

  get isNew(): boolean {
    return this.directory?.isNew === true
  }
}

/** A number stands for what is neither a directory nor a hard link, by its index: most things in a layer. */
export type TreeEntry = TreeNode | number
