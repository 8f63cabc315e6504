import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BareInodes } from '../../../src/tree/bare-inodes.js'
import { InodeTable, type Inode } from '../../../src/tree/inode-table.js'
import type { NumberedNodes, TreeNode } from '../../../src/tree/node.js'

const node = (isBare: boolean): TreeNode => ({ isBare }) as TreeNode

function numbered(isBareAt: (index: number) => boolean): NumberedNodes {
  const nodes: NumberedNodes = {
    nodeAt: (index) => ({ number: { nodes, index }, isBare: isBareAt(index) }) as TreeNode,
    attributesAt: () => assert.fail('nobody asked'),
    isBareAt,
  }
  return nodes
}

test('each inode is one bit behind the counter, as native/bare_inodes.h has it', () => {
  const bare = new BareInodes()
  for (const inode of [2, 7, 8, 4_096]) bare.add(inode as Inode)
  for (let inode = 0; inode < 5_000; inode++)
    assert.equal(bare.has(inode as Inode), [2, 7, 8, 4_096].includes(inode), String(inode))
  assert.deepEqual([...bare.shared.subarray(8, 10)], [0b1000_0100, 1])
  assert.equal(bare.shared[8 + 512], 1)
  // What the other side counts.
  assert.equal(bare.answers, 0)
  bare.shared.writeBigUInt64LE(2n ** 33n)
  assert.equal(bare.answers, 2 ** 33)
})

test('of an inode behind the last bit nothing is said', () => {
  const bare = new BareInodes()
  const first = 8 * (bare.shared.length - 8)
  for (const inode of [first - 1, first, first + 1, 2 ** 32, Number.MAX_SAFE_INTEGER])
    bare.add(inode as Inode)
  assert.ok(bare.has((first - 1) as Inode))
  for (const inode of [first, first + 1, 2 ** 32, Number.MAX_SAFE_INTEGER])
    assert.equal(bare.has(inode as Inode), false)
  assert.equal(
    bare.shared.findIndex((byte) => byte !== 0),
    bare.shared.length - 1,
  )
})

test('it is told of what the kernel is about to hear of and has no xattrs, and of nothing else', () => {
  const bare = new BareInodes()
  const table = new InodeTable(node(true), bare)
  assert.ok(bare.has(table.acquire(node(true))))
  assert.ok(!bare.has(table.acquire(node(false))))
  // Shown by readdir, not looked up.
  assert.ok(!bare.has(table.numberOf(node(true))))
  const nodes = numbered((index) => index % 3 !== 0)
  for (let index = 0; index < 1_000; index++) {
    assert.ok(!bare.has(table.numberAt({ nodes, index })))
    assert.equal(bare.has(table.acquireAt({ nodes, index })), index % 3 !== 0, String(index))
    // Met again, as an object.
    assert.equal(bare.has(table.acquire(nodes.nodeAt(index))), index % 3 !== 0, String(index))
  }
})

test('an inode that was forgotten and comes back is the same node, and what is said of it is true', () => {
  const bare = new BareInodes()
  const table = new InodeTable(node(true), bare)
  const nodes = numbered((index) => index % 2 === 0)
  const first = [0, 1].map((index) => table.acquireAt({ nodes, index }))
  for (const inode of first) table.forget(inode, 1)
  const others = Array.from({ length: 2_000 }, (_, index) =>
    table.acquireAt({ nodes: numbered(() => false), index }),
  )
  assert.ok(!others.some((inode) => bare.has(inode)))
  const again = [0, 1].map((index) => table.acquireAt({ nodes, index }))
  assert.deepEqual(again, first)
  assert.deepEqual(
    again.map((inode) => bare.has(inode)),
    [true, false],
  )
})
