import type { Image, NodeAttributes } from '../image/image.js'
import type { Inode } from '../tree/inode-table.js'
import type { TreeNode } from '../tree/node.js'
import { nameValidMs } from '../tree/place.js'
import type { Attributes } from './binding.js'

/** What stat shows of a node. */
export function attributesOfNode(inode: Inode, node: TreeNode, attributes: NodeAttributes): Attributes {
  // POSIX: st_size of a link is the length of its target; tar leaves it 0.
  const size = node.type === 'symlink' ? node.linkName.length : attributes.size
  return shownAttributes(inode, node.image, attributes, size)
}

/** Field by field: of a listing these are made for each entry, and a spread takes ten times as long. */
export function shownAttributes(
  inode: Inode,
  image: Image | undefined,
  attributes: NodeAttributes,
  size = attributes.size,
): Attributes {
  return {
    type: attributes.type,
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    size,
    mtimeSeconds: attributes.mtimeSeconds,
    mtimeNanoseconds: attributes.mtimeNanoseconds,
    deviceMajor: attributes.deviceMajor,
    deviceMinor: attributes.deviceMinor,
    linkCount: attributes.linkCount,
    blocks: attributes.blocks ?? Math.ceil(size / 512),
    inode,
    // A directory of many names may be another image's in a moment; a file's link count grows while its layer is read.
    validMs: attributes.type !== 'directory' && image?.isProven === true ? Infinity : nameValidMs,
  }
}
