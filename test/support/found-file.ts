import type { Inode, LookupResult } from '../../src/fuse/binding.js'

/** A lookup of a file with inode 7. */
export const found: LookupResult = {
  inode: 7 as Inode,
  validMs: 1_000,
  attributes: {
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 5,
    blocks: 1,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    linkCount: 1,
    inode: 7 as Inode,
    validMs: Infinity,
  },
}
