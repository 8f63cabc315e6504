import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ChunkCache, chunkBytes } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import type { JournalEntry, Seal } from '../../../src/layer/journal.js'
import { PassProgress } from '../../../src/layer/pass-progress.js'
import { passBytes } from '../../../src/layer/pass-sizes.js'
import { MemoryWindows } from '../../../src/layer/windows.js'
import { TarScanner } from '../../../src/tar/tar-scanner.js'
import { Deferred } from '../../../src/util/deferred.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'

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

test('windows have a limit, and what is beyond it is refused by name', () => {
  const windows = new MemoryWindows(3 << 20)
  for (const byte of [1, 2, 3]) windows.append(Buffer.alloc(1 << 20, byte))
  windows.append(Buffer.alloc(0))
  assert.equal(windows.bytes, 3 << 20)
  assert.equal(windows.find(2)[0], 3)
  assert.throws(
    () => {
      windows.append(Buffer.from('x'))
    },
    { code: 'LIMIT', message: 'the seek index of the layer would need more than 3 MiB of windows' },
  )
})

test('windows of a running pass are part of the memory budget', async (t) => {
  const text = tarOf(file('text', sampleData('text', 48 << 20)))
  const fixture = await layerFixture(t, text, gzipSync(text, { level: 1 }))
  const gate = new Deferred<void>()
  fixture.blob.before = async (offset) => (offset < fixture.blob.size / 2 ? undefined : gate.promise)
  const disk = diskChunks(join(fixture.directory, 'chunks'))
  const memory = new MemoryCache(128 << 20)
  const layer = await fixture.open({ cache: new ChunkCache(memory, disk) })
  await layer.until(() => (memory.reservedBytes > passBytes ? true : undefined))
  assert.equal(layer.state, 'reading')
  gate.resolve()
  await layer.ready()
  await layer.close()
  assert.equal(memory.reservedBytes, 0)
})
