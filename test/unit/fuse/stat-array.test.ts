import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes, Inode } from '../../../src/fuse/binding.js'
import { encodeDevice } from '../../../src/fuse/mode.js'
import { encodeStat } from '../../../src/fuse/stat-array.js'

const attributes: Attributes = {
  inode: 12 as Inode,
  type: 'file',
  mode: 0o4755,
  uid: 4_000_000_000,
  gid: 107,
  size: 5 * 2 ** 40 + 3,
  mtimeSeconds: 1_700_000_000,
  mtimeNanoseconds: 123_456_789,
  deviceMajor: 0,
  deviceMinor: 0,
  validMs: 1_000,
  linkCount: 2,
  blocks: 7 * 2 ** 32 + 5,
}

test('sizes, owners and times beyond 32 bits arrive whole', () => {
  const stat = encodeStat(attributes)
  const double = (field: number): number => (stat[field] ?? 0) + (stat[field + 1] ?? 0) * 2 ** 32
  assert.equal(stat[0], 0o104755)
  assert.equal(stat[1], 4_000_000_000)
  assert.equal(double(3), 5 * 2 ** 40 + 3)
  assert.equal(stat[6], 2)
  assert.equal(stat[7], 12)
  assert.equal(double(10), 7 * 2 ** 32 + 5)
  assert.equal(double(14), 1_700_000_000_123)
})

test('times before 1970, which fuse-native cannot carry, are shown as 1970', () => {
  assert.deepEqual([...encodeStat({ ...attributes, mtimeSeconds: -5 }).slice(14, 16)], [0, 0])
})

test('device numbers are packed as the kernel unpacks them', () => {
  assert.equal(encodeDevice(1, 3), 0x103)
  assert.equal(encodeDevice(8, 300), 0x10082c)
  assert.equal(encodeDevice(4095, 1048575), 0xffffffff)
})
