import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InodeTable, rootInode } from '../../../src/tree/inode-table.js'
import type { TreeNode } from '../../../src/tree/node.js'
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
