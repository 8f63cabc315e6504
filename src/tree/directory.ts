import type { ByteSource } from '../blob/source.js'
import type { Image, NodeAttributes } from '../image/image.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { Facts, TreeEntry, TreeLookup, TreeNode } from './node.js'

/** When the mount's own directories and files were made: now, once, so that they do not change under a backup. */
const startSeconds = Math.floor(Date.now() / 1000)

/** Of what no image names: owned by root, readable by all. */
export function ownAttributes(type: 'file' | 'directory', size: number): NodeAttributes {
  return {
    type,
    mode: type === 'directory' ? 0o555 : 0o444,
    uid: 0,
    gid: 0,
    size,
    mtimeSeconds: startSeconds,
    mtimeNanoseconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    linkCount: 1,
  }
}

const ownDirectory = Object.freeze(ownAttributes('directory', 0))

export const emptyBytes = Buffer.alloc(0)
export const noXattrs: ReadonlyMap<string, Buffer> = new Map()

/** What the directories above the images have in common. */
export abstract class Directory implements TreeNode {
  readonly type = 'directory'
  readonly linkName = emptyBytes
  readonly xattrs = noXattrs

  get isBare(): boolean {
    return true
  }

  get image(): Image | undefined {
    return undefined
  }

  abstract lookup(name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined>
  abstract entries(options?: ReadOptions): Promise<readonly TreeEntry[]>
  abstract explain(options?: ReadOptions): Promise<Facts>

  get isResolved(): boolean {
    return true
  }

  async resolve(_options?: ReadOptions): Promise<TreeNode> {
    return Promise.resolve(this)
  }

  get attributes(): NodeAttributes {
    return ownDirectory
  }

  async getAttributes(): Promise<NodeAttributes> {
    return Promise.resolve(this.attributes)
  }

  async open(): Promise<ByteSource> {
    return Promise.reject(new RegistryFsError('IS_A_DIRECTORY', 'is a directory'))
  }
}
