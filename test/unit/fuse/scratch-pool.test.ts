import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ScratchPool } from '../../../src/fuse/scratch-pool.js'

test('a buffer is with one taker at a time, comes back when given, and no more than four are kept', () => {
  const pool = new ScratchPool(16)
  const taken = Array.from({ length: 6 }, () => pool.take())
  assert.equal(new Set(taken).size, 6)
  assert.ok(taken.every((buffer) => buffer.length === 16))
  for (const buffer of taken) pool.give(buffer)
  const again = new Set(Array.from({ length: 6 }, () => pool.take()))
  assert.equal(again.size, 6)
  assert.equal(taken.filter((buffer) => again.has(buffer)).length, 4)
})
