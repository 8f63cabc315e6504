import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { DiskChunkStore } from '../../../src/blob/disk-chunk-store.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { digestOf } from '../../../src/util/digest.js'
import { silentLogger } from '../../../src/util/log.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const digest = digestOf(Buffer.from('a blob'))
const chunk = Buffer.alloc(1000, 'x')

async function newCache(t: TestContext): Promise<ChunkCache> {
  const disk = new DiskChunkStore({
    directory: join(await temporaryDirectory(t), 'chunks'),
    maximumBytes: 1 << 20,
    freeReserveBytes: 0,
    readOnly: false,
    log: silentLogger,
  })
  await disk.scan()
  return new ChunkCache(new MemoryCache(1 << 20), disk)
}

const throwAway = {
  'its blob': async (cache: ChunkCache) => cache.removeBlob(digest),
  'it alone': async (cache: ChunkCache) => cache.remove(digest, 0),
}

for (const [what, remove] of Object.entries(throwAway)) {
  test(`a chunk that is thrown away while it is written does not come back: ${what}`, async (t) => {
    const cache = await newCache(t)
    const saving = cache.saveLent(digest, 0, chunk)
    assert.ok(cache.has(digest, 0))
    const removing = remove(cache)
    assert.ok(!cache.has(digest, 0))
    await Promise.all([saving, removing])
    assert.equal(await cache.find(digest, 0, chunk.length), undefined)

    cache.put(digest, 0, chunk)
    await remove(cache)
    await cache.settle()
    assert.equal(await cache.find(digest, 0, chunk.length), undefined)
    assert.equal(cache.disk.lastError, undefined)
  })

  test(`a chunk that is thrown away while it is loaded does not come back: ${what}`, async (t) => {
    const cache = await newCache(t)
    await cache.saveLent(digest, 0, chunk)
    const loading = cache.find(digest, 0, chunk.length)
    await remove(cache)
    await loading
    assert.ok(!cache.has(digest, 0))
  })
}

test('what comes after that is kept again', async (t) => {
  const cache = await newCache(t)
  const saving = cache.saveLent(digest, 0, chunk)
  await cache.removeBlob(digest)
  await saving
  await cache.saveLent(digest, 0, chunk)
  assert.deepEqual(await cache.find(digest, 0, chunk.length), chunk)
})
