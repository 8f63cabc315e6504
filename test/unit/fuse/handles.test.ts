import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HandleTable } from '../../../src/fuse/handles.js'
import type { FileHandle } from '../../../src/fuse/binding.js'
import { hasCode } from '../../../src/util/errors.js'

test('a handle names what was opened until it is closed, and is never 0', () => {
  const table = new HandleTable<string>()
  const handle = table.add('a')
  assert.ok(handle > 0)
  assert.equal(table.get(handle), 'a')
  assert.equal(table.remove(handle), 'a')
  assert.equal(table.remove(handle), undefined)
  assert.throws(
    () => table.get(handle),
    (error) => hasCode(error, 'BAD_HANDLE'),
  )
  assert.throws(
    () => table.get(0 as FileHandle),
    (error) => hasCode(error, 'BAD_HANDLE'),
  )
})

test('numbers come round again without touching what is open', () => {
  const table = new HandleTable<number>(3)
  const kept = table.add(1)
  for (let times = 0; times < 10; times++) {
    const handle = table.add(2)
    assert.notEqual(handle, kept)
    table.remove(handle)
  }
  table.add(2)
  table.add(3)
  assert.throws(
    () => table.add(4),
    (error) => hasCode(error, 'LIMIT'),
  )
  assert.equal(table.get(kept), 1)
})
