import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ResidentSpans } from '../../../src/blob/resident-spans.js'
import { RequestCounts } from '../../../src/fuse/request-counts.js'
import { BareInodes } from '../../../src/tree/bare-inodes.js'
import { FakeResidentTable } from '../../support/fake-resident-table.js'

test('what the threads answered counts among the requests, and by itself', () => {
  const bare = new BareInodes()
  const counts = new RequestCounts({ bare, resident: new ResidentSpans(new FakeResidentTable()) })
  for (const operation of ['lookup', 'read', 'getxattr', 'getxattr']) counts.count(operation)
  bare.shared.writeBigUInt64LE(40n)
  assert.deepEqual(counts.status(), {
    requests: { lookup: 1, read: 1, getxattr: 42 },
    answeredByThreads: { read: 0, getxattr: 40 },
  })
})

test('without such threads there is nothing but what was counted', () => {
  const counts = new RequestCounts({})
  counts.count('getxattr')
  assert.deepEqual(counts.status(), {
    requests: { read: 0, getxattr: 1 },
    answeredByThreads: { read: 0, getxattr: 0 },
  })
})
