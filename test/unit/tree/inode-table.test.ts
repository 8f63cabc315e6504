import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InodeTable, rootInode } from '../../../src/tree/inode-table.js'
import type { NumberedNodes, TreeNode } from '../../../src/tree/node.js'
import { hasCode } from '../../../src/util/errors.js'

const node = (): TreeNode => ({}) as TreeNode

test('the root is 1 and is never forgotten', () => {
  const root = node()
  const table = new InodeTable(root)
  table.forget(rootInode, 100)
  assert.equal(table.get(rootInode), root)
  assert.equal(table.numberOf(root), 1)
})

test('a node is held until as many lookups are forgotten as there were', () => {
  const table = new InodeTable(node())
  const one = node()
  const inode = table.acquire(one)
  assert.equal(table.acquire(one), inode)
  table.forget(inode, 1)
  assert.equal(table.get(inode), one)
  table.forget(inode, 1)
  assert.throws(
    () => table.get(inode),
    (error) => hasCode(error, 'GONE'),
  )
  assert.equal(table.size, 1)
})

test('a node that comes back has its number again, and no other node ever gets it', () => {
  const table = new InodeTable(node())
  const one = node()
  const inode = table.acquire(one)
  table.forget(inode, 1)
  const others = Array.from({ length: 1000 }, () => table.acquire(node()))
  assert.equal(new Set([...others, inode]).size, 1001)
  assert.equal(table.acquire(one), inode)
})

test('a number that readdir shows holds nothing', () => {
  const table = new InodeTable(node())
  const inode = table.numberOf(node())
  assert.throws(
    () => table.get(inode),
    (error) => hasCode(error, 'GONE'),
  )
})

/** Each node is made anew, and says its number. */
function numbered(): NumberedNodes {
  const nodes: NumberedNodes = {
    nodeAt: (index) => ({ number: { nodes, index } }) as TreeNode,
    attributesAt: () => assert.fail('nobody asked'),
    isBareAt: () => assert.fail('nobody asked'),
  }
  return nodes
}

test('a numbered node has one inode, however it is met, and no other has it', () => {
  const table = new InodeTable(node())
  const [one, other] = [numbered(), numbered()]
  const inodes = new Set<number>([rootInode, table.acquire(node())])
  for (const nodes of [one, other])
    for (const index of [0, 1, 255, 256, 1_000_000]) {
      const inode = table.numberAt({ nodes, index })
      assert.equal(table.acquireAt({ nodes, index }), inode)
      assert.equal(table.numberOf(nodes.nodeAt(index)), inode)
      assert.deepEqual(table.get(inode).number, { nodes, index })
      inodes.add(inode)
    }
  for (let i = 0; i < 1000; i++) inodes.add(table.acquire(node()))
  assert.equal(inodes.size, 2 + 10 + 1000)
  assert.equal(table.size, inodes.size)
})

test('a numbered node is held as long as any lookup is, by number or by object, and the object is the one that was looked up', () => {
  const table = new InodeTable(node())
  const nodes = numbered()
  const number = { nodes, index: 300 }
  const inode = table.acquireAt(number)
  const object = nodes.nodeAt(300)
  assert.equal(table.acquire(object), inode)
  assert.equal(table.acquireAt(number), inode)
  assert.equal(table.size, 2)
  assert.equal(table.get(inode), object)
  table.forget(inode, 2)
  assert.equal(table.get(inode), object)
  table.forget(inode, 1)
  assert.throws(
    () => table.get(inode),
    (error) => hasCode(error, 'GONE'),
  )
  assert.equal(table.size, 1)
  assert.equal(table.acquireAt(number), inode)
  table.forget(inode, 5)
  table.forget(inode, 1)
  assert.equal(table.acquireAt(number), inode)
  assert.deepEqual(table.get(inode).number, number)
  // Of numbers that nobody was told nothing is known.
  table.forget((inode + 1) as typeof inode, 1)
  table.forget((inode + 100_000) as typeof inode, 1)
  assert.equal(table.size, 2)
})
