import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { chunkBytes } from '../../../src/blob/chunk-cache.js'
import type { JournalEntry, Seal } from '../../../src/layer/journal.js'
import { PassProgress } from '../../../src/layer/pass-progress.js'
import { TarScanner } from '../../../src/tar/tar-scanner.js'

const scanner = new TarScanner({ onMember: () => undefined }).state()

function entry(compressedBytes: number, seals: readonly Seal[]): JournalEntry {
  const checkpoint = {
    codec: 'gzip',
    compressedBitOffset: compressedBytes * 8 + 3,
    uncompressedOffset: 0,
    state: Buffer.alloc(0),
    scanner,
  } as const
  return { spans: [], zeros: [], members: [], seals, checkpoint }
}

const seals = [0, 1, 2].map((index) => ({ index, seal: randomBytes(32) }))

test('a pass goes on from entries that seal every chunk before their end', () => {
  const progress = new PassProgress(10 * chunkBytes)
  progress.restore([entry(chunkBytes + 5, seals.slice(0, 1)), entry(3 * chunkBytes, seals.slice(1))])
  assert.equal(progress.frontierCompressed, 3 * chunkBytes)
  for (const { index, seal } of seals) assert.deepEqual(progress.sealOf(index), seal)
  assert.equal(progress.sealOf(3), undefined)
})

test('entries that leave a chunk without its seal are refused', () => {
  const progress = new PassProgress(10 * chunkBytes)
  assert.throws(() => {
    progress.restore([entry(3 * chunkBytes + 9, seals.slice(0, 2))])
  }, /a seal is missing/)
})

test('the newest block is shown once there is another, or the blob is proven', () => {
  const progress = new PassProgress(3 * chunkBytes)
  let told = 0
  progress.onShown = () => told++
  progress.advance(1000)
  assert.equal(progress.shownBytes(0, 5000), 0)
  progress.advance(3000)
  assert.equal(progress.shownBytes(0, 5000), 1000)
  progress.showAll()
  assert.deepEqual([progress.shownBytes(0, 5000), progress.shownBytes(2500, 10), told], [3000, 10, 3])
})
