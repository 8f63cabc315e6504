import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { CachedSource } from '../../../src/blob/cached-source.js'
import { ChunkCache, chunkBytes } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { PassingChunks } from '../../../src/blob/passing-chunks.js'
import { diskChunks } from '../../support/disk-chunks.js'
import type { Faults } from '../../support/fake-registry-faults.js'
import { setUp } from '../../support/fake-registry-client.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const content = randomBytes(14 * chunkBytes + 777)

async function setUpSource(t: TestContext, faults: Faults) {
  const setup = await setUp(t, { faults })
  const disk = diskChunks(await temporaryDirectory(t))
  const cache = new ChunkCache(new MemoryCache(64 << 20), disk)
  t.after(async () => cache.settle())
  const digest = setup.registry.addBlob(content)
  const size = content.length
  const blob = setup.client.openBlob(setup.repository('a'), { mediaType: 'x', digest, size, annotations: {} })
  const source = new CachedSource(digest, blob, cache, () => undefined)
  const assertReads = async (offset: number, length: number): Promise<void> => {
    const bytes = await source.read(offset, length)
    assert.ok(bytes.equals(content.subarray(offset, offset + length)), String(offset))
  }
  return { ...setup, blob, cache, assertReads }
}

test('what a server without ranges sends on the way is kept: going backwards costs nothing', async (t) => {
  const { registry, client, cache, assertReads } = await setUpSource(t, { ranges: 'ignored' })
  await assertReads(6 * chunkBytes + 5, 1000)
  await cache.settle()
  for (let index = 6; index >= 0; index--) await assertReads(index * chunkBytes, chunkBytes)
  await assertReads(content.length - 10, 10)
  await assertReads(9 * chunkBytes, 100)
  assert.deepEqual(registry.trace, ['GET blob 200'])
  assert.equal(client.counters.blobBytes, content.length)
})

test('a server that knows ranges after all is asked for ranges again', async (t) => {
  const { registry, blob, assertReads } = await setUpSource(t, { ranges: 'ignored' })
  await assertReads(2 * chunkBytes, 10)
  registry.faults = {}
  registry.forgetRequests()
  assert.ok((await blob.read(5, 10)).equals(content.subarray(5, 15)))
  await assertReads(12 * chunkBytes, 10)
  assert.deepEqual(registry.trace, ['GET blob 206', 'GET blob 206'])
})

test('readers at many places of a server without ranges end well, on few streams', async (t) => {
  const { registry, blob } = await setUpSource(t, { ranges: 'ignored', bytesPerSecond: 50 << 20 })
  const offsets = [5_000_000, 100, 9_000_000, 2_000_000, 100, 13_000_000]
  await Promise.all(
    offsets.map(async (offset) => {
      assert.ok((await blob.read(offset, 1000)).equals(content.subarray(offset, offset + 1000)))
    }),
  )
  assert.ok(registry.requests.length <= 3, registry.trace.join(', '))
})

test('a blob that is shorter than the manifest says is told with both sizes', async (t) => {
  const { registry, client, repository } = await setUp(t)
  const digest = registry.addBlob(Buffer.alloc(100))
  const blob = client.openBlob(repository('a'), { mediaType: 'x', digest, size: 1000, annotations: {} })
  await assert.rejects(blob.read(500, 10), {
    code: 'PROTOCOL',
    offset: 500,
    message: /416: the manifest says 1000 bytes, 127\.0\.0\.1:\d+ has 100 bytes$/,
  })
})

test('chunks are made of pieces of any length, whole ones only, those that are wanted', () => {
  const made: number[] = []
  const passing = new PassingChunks({
    size: content.length,
    isWanted: (index) => index !== 3,
    onChunk: (index, chunk) => {
      made.push(index)
      assert.ok(chunk.equals(content.subarray(index * chunkBytes, (index + 1) * chunkBytes)))
    },
  })
  for (let at = chunkBytes / 2; at < content.length;) {
    const length = Math.min(1 + Math.floor(Math.random() * 3 * chunkBytes), content.length - at)
    passing.add(at, content.subarray(at, at + length))
    at += length
  }
  assert.deepEqual(made, [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
  passing.add(0, content.subarray(0, 10))
  passing.add(20, content.subarray(20, chunkBytes))
  assert.equal(made.length, 13)
})

test('layers of a server without ranges that nobody reads on leave connections to the others', async (t) => {
  const { registry, client, repository } = await setUp(
    t,
    { faults: { ranges: 'ignored' } },
    { timeouts: { documentMs: 10_000, blobReadMs: 10_000 } },
  )
  registry.addImage('a', '1', { layers: [] })
  // More than there are connections to a host, each longer than what sockets and buffers take.
  const blobs = Array.from({ length: 12 }, (_, i) => randomBytes(8 * chunkBytes + i))
  const sources = blobs.map((bytes) => {
    const descriptor = {
      mediaType: 'x',
      digest: registry.addBlob(bytes),
      size: bytes.length,
      annotations: {},
    }
    return client.openBlob(repository('a'), descriptor)
  })
  for (const offset of [0, 1000])
    for (const [i, source] of sources.entries())
      assert.ok((await source.read(offset, 10)).equals((blobs[i] as Buffer).subarray(offset, offset + 10)))
  assert.deepEqual(await client.listTags(repository('a')), ['1'])
})
