import type { ByteSource } from '../blob/source.js'
import type { Image, NodeAttributes } from '../image/image.js'
import type { ReadOptions } from '../util/abort.js'

/** A name's target, and how long the pair may be believed without asking again: Infinity inside an image. */
export interface TreeLookup {
  readonly node: TreeNode
  readonly validMs: number
}

/** Nodes that are numbers until somebody asks for one; a number stands for the same thing as long as this is the same object. */
export interface NumberedNodes {
  nodeAt(index: number): TreeNode
  /** The node's, without making it. */
  attributesAt(index: number): NodeAttributes
  isBareAt(index: number): boolean
}

/** Which of them one is. */
export interface NodeNumber {
  readonly nodes: NumberedNodes
  readonly index: number
}

export interface TreeEntry {
  readonly name: Buffer
  readonly type: NodeAttributes['type']
  /** Undefined where only a lookup, with requests of its own, can tell; made, where it is a number, when it is asked for. */
  readonly node: TreeNode | undefined
  /** Undefined where all that there is to know takes the node. */
  readonly number?: NodeNumber | undefined
}

/** What `user.registryfs.*` says about a node: names without that prefix, in the order to show. */
export type Facts = ReadonlyMap<string, string>

/**
 * One thing in the mount. The object is the identity, or its number where it has one: that carries the inode number, so
 * the same file is the same object or has the same number as long as its image is current.
 */
export interface TreeNode {
  readonly type: NodeAttributes['type']

  readonly number?: NodeNumber | undefined

  /** The image that this node is of; open handles pin it. */
  readonly image: Image | undefined

  /** The registry, repository or image that this name stands for, where the node itself does not say; undefined elsewhere. */
  readonly subject?: string | undefined

  /** Symlink target as stored; empty for others. */
  readonly linkName: Buffer

  /** The member's own; known without any request. */
  readonly xattrs: ReadonlyMap<string, Buffer>

  /** Certain to have none for as long as this is the same object. */
  readonly isBare: boolean

  /**
   * What stands here now: a name whose tag can move answers with the image of the moment, everything else with
   * itself. Handles open the answer, so that what is open never changes.
   */
  resolve(options?: ReadOptions): Promise<TreeNode>

  /** Whether that is always this node itself. */
  readonly isResolved: boolean

  /** Undefined where they have to be made first: getAttributes. Most of what the kernel asks is this, so it costs nothing. */
  readonly attributes: NodeAttributes | undefined

  getAttributes(options?: ReadOptions): Promise<NodeAttributes>

  /** Undefined when there is no such name; NOT_A_DIRECTORY for non-directories. */
  lookup(name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined>

  /** The same where it is known at once; undefined otherwise, and where there is no such name. */
  peek?(name: Buffer): TreeLookup | undefined

  /** Without `.` and `..`; NOT_A_DIRECTORY for non-directories. */
  entries(options?: ReadOptions): Promise<readonly TreeEntry[]>

  /** The same where they are known at once. */
  peekEntries?(): readonly TreeEntry[] | undefined

  /** IS_A_DIRECTORY for directories, INVALID for what has no content. */
  open(options?: ReadOptions): Promise<ByteSource>

  explain(options?: ReadOptions): Promise<Facts>
}
