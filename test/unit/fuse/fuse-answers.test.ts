import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes, Inode } from '../../../src/fuse/binding.js'
import {
  DirectoryPacker,
  encodeAttributes,
  encodeEntry,
  encodeFileSystemStatus,
  encodeInit,
  encodeOpened,
  encodeSeek,
  encodeXattrSize,
} from '../../../src/fuse/fuse-answers.js'
import { bytesOf } from '../../support/fuse-bytes.js'

const attributes: Attributes = {
  type: 'file',
  mode: 0o4755,
  uid: 107,
  gid: 0xffff_fffe,
  size: 5 * 2 ** 30 + 1,
  blocks: 0x9_0000_0001,
  mtimeSeconds: -2,
  mtimeNanoseconds: 999_999_999,
  deviceMajor: 0,
  deviceMinor: 0,
  linkCount: 3,
  inode: 0x1_0000_0002 as Inode,
  validMs: 1_500,
}

/** struct fuse_attr of it, 88 bytes. */
const attributesHex =
  '0200000001000000' + // ino
  '0100004001000000' + // size
  '0100000009000000' + // blocks
  'feffffffffffffff'.repeat(3) + // atime, mtime, ctime
  'ffc99a3b'.repeat(3) + // and their nanoseconds
  'ed890000' + // mode: S_IFREG | 04755
  '03000000' + // nlink
  '6b000000' + // uid
  'feffffff' + // gid
  '00000000' + // rdev
  '00100000' + // blksize
  '00000000' // flags

/** struct fuse_entry_out before the attributes, 40 bytes. */
const entryHex =
  '0200000001000000' + // nodeid
  '0000000000000000' + // generation
  '0200000000000000' + // entry_valid: 2.25 s
  '0100000000000000' + // attr_valid: 1.5 s
  '80b2e60e' + // 250,000,000 ns
  '0065cd1d' // 500,000,000 ns

test('attributes are struct fuse_attr_out', () => {
  const expected =
    '0100000000000000' + // attr_valid
    '0065cd1d' + // attr_valid_nsec
    '00000000' + // dummy
    attributesHex
  assert.equal(encodeAttributes(attributes, attributes.validMs).toString('hex'), expected)
})

test('what is valid for ever is valid for ten years', () => {
  const bytes = encodeAttributes(attributes, Infinity)
  assert.equal(bytes.readBigUInt64LE(0), 315_360_000n)
  assert.equal(bytes.readUInt32LE(8), 0)
})

test('an entry is struct fuse_entry_out', () => {
  const found = { inode: attributes.inode, attributes, validMs: 2_250 }
  assert.equal(encodeEntry(found, attributes.validMs).toString('hex'), entryHex + attributesHex)
})

test('types and devices are those of stat(2)', () => {
  const modeOf = (type: Attributes['type']): number =>
    encodeAttributes({ ...attributes, type, mode: 0o644 }, 0).readUInt32LE(16 + 60)
  assert.equal(modeOf('directory'), 0o040644)
  assert.equal(modeOf('symlink'), 0o120644)
  assert.equal(modeOf('character-device'), 0o020644)
  assert.equal(modeOf('block-device'), 0o060644)
  assert.equal(modeOf('fifo'), 0o010644)
  const device = encodeAttributes({ ...attributes, deviceMajor: 0x103, deviceMinor: 0x12345 }, 0)
  // new_encode_dev: the low byte of the minor, 12 bits of the major, the rest of the minor.
  assert.equal(device.readUInt32LE(16 + 76), 0x12310345)
})

test('INIT offers 1 MiB reads, and of the flags only what both know', () => {
  const request = { major: 7, minor: 45, maxReadAhead: 131_072, flags: 0xffff_ffff, hasPassthrough: true }
  const expected =
    '07000000' + // major
    '1f000000' + // minor: 31
    '00001000' + // max_readahead
    // ASYNC_READ, DO_READDIRPLUS, PARALLEL_DIROPS, ABORT_ERROR, MAX_PAGES, CACHE_SYMLINKS
    '0120e400' +
    '3000' + // max_background
    '2400' + // congestion_threshold
    '00100000' + // max_write
    '01000000' + // time_gran
    '0001' + // max_pages
    '0000' + // map_alignment
    '00'.repeat(32)
  assert.equal(encodeInit(request)?.toString('hex'), expected)
  // Wanted: INIT_EXT, FUSE_PASSTHROUGH among the upper flags, and no stacked file system below.
  const more =
    expected.replace('0120e400', '0120e440').slice(0, 64) + '20000000' + '01000000' + '00'.repeat(24)
  assert.equal(encodeInit(request, true)?.toString('hex'), more)
  assert.equal(encodeInit({ ...request, hasPassthrough: false }, true)?.toString('hex'), expected)
  assert.equal(encodeInit({ ...request, flags: 1 })?.readUInt32LE(12), 1)
  assert.equal(encodeInit({ ...request, maxReadAhead: 4 << 20 })?.readUInt32LE(8), 4 << 20)
})

test('a kernel before 4.20 (FUSE 7.28) is too old', () => {
  const request = { major: 7, minor: 27, maxReadAhead: 0, flags: 0, hasPassthrough: false }
  assert.equal(encodeInit(request), undefined)
  assert.equal(encodeInit({ ...request, major: 6, minor: 99 }), undefined)
  assert.equal(encodeInit({ ...request, minor: 28 })?.length, 64)
})

test('the small answers have the layouts of linux/fuse.h', () => {
  assert.deepEqual(encodeOpened(0x1_0000_0007, 0b1010), bytesOf(0x1_0000_0007n, 0b1010, 0))
  assert.deepEqual(encodeOpened(7, 0x80, 3), bytesOf(7n, 0x80, 3))
  assert.deepEqual(encodeXattrSize(300), bytesOf(300, 0))
  assert.deepEqual(encodeSeek(0x5_0000_1000), bytesOf(0x5_0000_1000n))
  const status = encodeFileSystemStatus({ blockBytes: 4096, nameBytesMax: 255 })
  // blocks, bfree, bavail, files, ffree; bsize, namelen, frsize, padding, spare.
  assert.deepEqual(status, bytesOf(0n, 0n, 0n, 0n, 0n, 4096, 255, 4096, 0, Buffer.alloc(24)))
})

/** One that was used before. */
function packerOf(size: number): DirectoryPacker {
  const packer = new DirectoryPacker()
  packer.begin(4096)
  packer.add(Buffer.alloc(4000, 0xff), 'symlink', 2 ** 53 - 1, 2 ** 53 - 1)
  packer.begin(size)
  return packer
}

test('READDIR packs struct fuse_dirent at multiples of eight, until no more fits', () => {
  const packer = packerOf(32 + 32 + 31)
  packer.add(Buffer.from('.'), 'directory', 7, 1)
  packer.add(Buffer.from('12345678'), 'symlink', undefined, 2)
  assert.ok(!packer.hasRoom(1, false))
  const expected = bytesOf(
    7n, // ino
    1n, // off
    1, // namelen
    4, // DT_DIR
    Buffer.from('.\0\0\0\0\0\0\0'),
    0xffff_ffffn, // unknown
    2n,
    8,
    10, // DT_LNK
    Buffer.from('12345678'),
  )
  assert.deepEqual(packer.bytes(), expected)
  assert.ok(packerOf(32).hasRoom(8, false))
  assert.ok(!packerOf(32).hasRoom(9, false))
})

test('READDIRPLUS packs an entry before each, nodeid 0 where nothing was looked up', () => {
  const packer = packerOf(2 * (128 + 32))
  packer.addPlus(Buffer.from('..'), 'directory', undefined, 2, undefined, 0)
  packer.addPlus(
    Buffer.from('a'),
    'file',
    attributes.inode,
    3,
    { inode: attributes.inode, attributes, validMs: 2_250 },
    attributes.validMs,
  )
  assert.ok(!packer.hasRoom(0, true))
  const expected =
    '00'.repeat(128) +
    'ffffffff00000000' +
    '0200000000000000' +
    '02000000' +
    '04000000' +
    '2e2e000000000000' +
    entryHex +
    attributesHex +
    '0200000001000000' +
    '0300000000000000' +
    '01000000' +
    '08000000' + // DT_REG
    '6100000000000000'
  assert.equal(packer.bytes().toString('hex'), expected)
})

test('no answer is longer than the longest read, whatever is asked for', () => {
  const packer = packerOf(0xffff_ffff)
  for (let n = 0; packer.hasRoom(1000, false); n++) packer.add(Buffer.alloc(1000, 'x'), 'file', n, n)
  assert.equal(packer.bytes().length, 1 << 20)
})
