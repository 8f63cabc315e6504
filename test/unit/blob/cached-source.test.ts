import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { CachedSource } from '../../../src/blob/cached-source.js'
import { ChunkCache, chunkBytes } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { digestOf } from '../../../src/util/digest.js'
import { chunkSeal } from '../../../src/native.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { MemoryBlob } from '../../support/memory-blob.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const content = randomBytes(12 * chunkBytes + 12_345)
const digest = digestOf(content)

async function setUp(t: TestContext, memoryBytes = 64 << 20) {
  const directory = await temporaryDirectory(t)
  const disk = diskChunks(directory)
  const blob = new MemoryBlob(content)
  const cache = new ChunkCache(new MemoryCache(memoryBytes), disk)
  t.after(async () => cache.settle())
  return { blob, cache, source: new CachedSource(digest, blob, cache, () => undefined) }
}

test('any range has the bytes of the blob, clamped at its end', async (t) => {
  const { source } = await setUp(t)
  for (const [offset, length] of [
    [0, 1],
    [chunkBytes - 1, 2],
    [chunkBytes / 2, 3 * chunkBytes],
    [content.length - 5, 100],
    [content.length, 10],
    [content.length + 10, 10],
    [0, content.length],
  ] as const) {
    assert.deepEqual(await source.read(offset, length), content.subarray(offset, offset + length))
  }
})

test('a chunk is fetched once, however many ask at the same time', async (t) => {
  const { blob, source } = await setUp(t)
  await Promise.all(Array.from({ length: 20 }, async (_, i) => source.read(1000 * i, 1000)))
  assert.deepEqual(blob.ranges, [{ offset: 0, length: chunkBytes }])
})

test('what is on disk is not fetched again, without memory either', async (t) => {
  const { blob, source, cache } = await setUp(t)
  await source.read(0, 2 * chunkBytes)
  await cache.settle()
  const again = new CachedSource(
    digest,
    blob,
    new ChunkCache(new MemoryCache(1), cache.disk),
    () => undefined,
  )
  assert.deepEqual(await again.read(100, chunkBytes), content.subarray(100, 100 + chunkBytes))
  assert.equal(blob.ranges.length, 1)
})

test('a read at a random place fetches the chunks that it touches and no more', async (t) => {
  const { blob, source } = await setUp(t)
  for (const chunk of [9, 2, 6]) await source.read(chunk * chunkBytes + 17, 64 << 10)
  assert.equal(blob.fetchedBytes, 3 * chunkBytes)
})

test('missing chunks side by side are one range, around those that are there', async (t) => {
  const { blob, source } = await setUp(t)
  await source.read(3 * chunkBytes, chunkBytes)
  blob.ranges.length = 0
  const bytes = await source.read(chunkBytes + 5, 6 * chunkBytes)
  assert.deepEqual(bytes, content.subarray(chunkBytes + 5, 7 * chunkBytes + 5))
  const chunks = blob.ranges.map(({ offset, length }) => [offset / chunkBytes, length / chunkBytes])
  assert.deepEqual(
    chunks.sort(([a = 0], [b = 0]) => a - b),
    [
      [1, 2],
      [4, 4],
    ],
  )
})

test('a reader that goes forward gets larger ranges, and every byte once', async (t) => {
  const { blob, source } = await setUp(t)
  for (let offset = 0; offset < content.length; offset += 128 << 10) await source.read(offset, 128 << 10)
  assert.equal(blob.fetchedBytes, content.length)
  assert.ok(blob.ranges.length <= 5, `${String(blob.ranges.length)} ranges`)
})

test('a failure reaches those who wait and is not remembered', async (t) => {
  const { blob, source } = await setUp(t)
  blob.before = () => {
    throw new RegistryFsError('UNAVAILABLE', 'down')
  }
  await assert.rejects(source.read(0, 10), { code: 'UNAVAILABLE' })
  blob.before = () => undefined
  assert.deepEqual(await source.read(0, 10), content.subarray(0, 10))
})

test('a reader that gives up leaves the fetch to the others', async (t) => {
  const { blob, source } = await setUp(t)
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => (release = resolve))
  blob.before = async () => gate
  const controller = new AbortController()
  const impatient = source.read(0, 10, { signal: controller.signal })
  const patient = source.read(5, 10)
  await new Promise((resolve) => setImmediate(resolve))
  controller.abort()
  await assert.rejects(impatient, { code: 'ABORTED' })
  release()
  assert.deepEqual(await patient, content.subarray(5, 15))
  assert.equal(blob.ranges.length, 1)
})

test('bytes that are not those of the first pass are refused with the place', async (t) => {
  const { blob, cache } = await setUp(t)
  const first = chunkSeal(content.subarray(0, chunkBytes), undefined, { index: 0, chunkBytes })
  const second = chunkSeal(content.subarray(chunkBytes, 2 * chunkBytes), first, { index: 1, chunkBytes })
  const source = new CachedSource(digest, blob, cache, (index) => [first, second][index])
  assert.deepEqual(await source.read(chunkBytes, 10), content.subarray(chunkBytes, chunkBytes + 10))
  await source.discard(chunkBytes, 1)
  blob.bytes = Buffer.from(content)
  blob.bytes[chunkBytes + 500] = 255 - (content[chunkBytes + 500] ?? 0)
  await assert.rejects(source.read(chunkBytes, 10), {
    code: 'DIGEST_MISMATCH',
    layer: digest,
    offset: chunkBytes,
  })
})
