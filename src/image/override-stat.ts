import type { NodeAttributes } from './image.js'

/** Of fuse-overlayfs for root and for users, and of containers/storage: the first that a layer's root has counts for the layer. */
export const overrideXattrs: readonly string[] = [
  'security.fuseoverlayfs.override_stat',
  'user.fuseoverlayfs.override_stat',
  'user.containers.override_stat',
]

const pattern = /^(\d+):(\d+):([0-7]+)(?::(\w+)(?:-(\d+)-(\d+))?)?$/
const types: Readonly<Record<string, NodeAttributes['type']>> = {
  file: 'file',
  pipe: 'fifo',
  char: 'character-device',
  block: 'block-device',
}
const maximumId = 0xffffffff

/**
 * `UID:GID:MODE[:TYPE[-MAJOR-MINOR]]`, which stands for what the user could not give the file itself: the attributes with that,
 * or as they are where it is no such text.
 */
export function overridden(attributes: NodeAttributes, value: Buffer | undefined): NodeAttributes {
  const fields = pattern.exec(value?.toString('latin1') ?? '')
  if (fields === null) return attributes
  const [, uid = '', gid = '', mode = '', typeName = '', major = '0', minor = '0'] = fields
  if (Number(uid) > maximumId || Number(gid) > maximumId) return attributes
  // Only a file stands for something else.
  const type = (attributes.type === 'file' ? types[typeName] : undefined) ?? attributes.type
  const isDevice = type !== attributes.type
  return {
    ...attributes,
    uid: Number(uid),
    gid: Number(gid),
    mode: Number.parseInt(mode, 8) & 0o7777,
    ...(isDevice ? { type, size: 0, blocks: 0, deviceMajor: Number(major), deviceMinor: Number(minor) } : {}),
  }
}
