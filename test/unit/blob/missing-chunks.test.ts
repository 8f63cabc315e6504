import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ChunkCache, chunkBytes, chunkCount } from '../../../src/blob/chunk-cache.js'
import { unitHeaderBytes } from '../../../src/blob/chunk-unit.js'
import { DiskChunkStore } from '../../../src/blob/disk-chunk-store.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { fetchMissing, type ChunkedBlob } from '../../../src/blob/missing-chunks.js'
import { digestOf, type Digest } from '../../../src/util/digest.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { MemoryBlob } from '../../support/memory-blob.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const unitBytes = chunkBytes + unitHeaderBytes
const one = randomBytes(21 * chunkBytes + 777)
const two = randomBytes(6 * chunkBytes)
const other = digestOf(Buffer.from('other'))
const nothing: ReadonlySet<Digest> = new Set()

async function setUp(t: TestContext, maximumBytes = 1 << 30, freeReserveBytes = 0) {
  const directory = join(await temporaryDirectory(t), 'chunks')
  const disk = new DiskChunkStore({
    directory,
    maximumBytes,
    freeReserveBytes,
    readOnly: false,
    log: silentLogger,
  })
  await disk.scan()
  const cache = new ChunkCache(new MemoryCache(64 << 20), disk)
  t.after(async () => cache.settle())
  const chunked = (content: Buffer) => ({
    digest: digestOf(content),
    blob: new MemoryBlob(content),
    cache,
    sealOf: () => undefined,
  })
  return { directory, disk, first: chunked(one), second: chunked(two) }
}

async function checkKept(disk: DiskChunkStore, { digest }: ChunkedBlob, content: Buffer): Promise<void> {
  for (let index = 0; index < chunkCount(content.length); index++) {
    const expected = content.subarray(index * chunkBytes, (index + 1) * chunkBytes)
    assert.deepEqual(await disk.load(digest, index, expected.length), expected, String(index))
  }
}

/** As units, which have all a header of their own. */
function unitsOn(disk: DiskChunkStore, { digest }: ChunkedBlob, content: Buffer): number {
  return Array.from({ length: chunkCount(content.length) }, (_, i) => disk.has(digest, i)).filter(Boolean)
    .length
}

test('what the disk lacks of blobs is fetched, each byte once, the same blob once', async (t) => {
  const { disk, first, second } = await setUp(t)
  for (const index of [0, 5, 6, 12, 20])
    await disk.save(first.digest, index, one.subarray(index * chunkBytes, (index + 1) * chunkBytes))
  const shown: (readonly [number, number])[] = []
  const onProgress = (done: number, total: number): void => {
    shown.push([done, total])
  }
  const missing = one.length - 5 * chunkBytes + two.length
  assert.equal(await fetchMissing([first, second, first], { kept: nothing, onProgress }), undefined)
  assert.equal(first.blob.fetchedBytes, one.length - 5 * chunkBytes)
  assert.equal(second.blob.fetchedBytes, two.length)
  await checkKept(disk, first, one)
  await checkKept(disk, second, two)
  assert.deepEqual(shown.at(-1), [missing, missing])
  assert.deepEqual(
    shown.map(([done]) => done),
    shown.map(([done]) => done).sort((a, b) => a - b),
  )
  const before = first.blob.ranges.length + second.blob.ranges.length
  assert.equal(await fetchMissing([first, second], { kept: nothing }), undefined)
  assert.equal(first.blob.ranges.length + second.blob.ranges.length, before)
})

test('a cap that is too small ends the fetch before it pushes out what was fetched, and again the next time', async (t) => {
  const { disk, first, second } = await setUp(t, 10 * unitBytes + 5000)
  await disk.save(first.digest, 20, one.subarray(20 * chunkBytes, 21 * chunkBytes))
  for (const times of [1, 2]) {
    const unkept = await fetchMissing([first, second], { kept: nothing })
    assert.deepEqual(
      unkept,
      { bytes: one.length + two.length - 10 * chunkBytes, bound: 'cap' },
      String(times),
    )
    assert.equal(first.blob.fetchedBytes, 9 * chunkBytes)
    assert.equal(second.blob.fetchedBytes, 0)
    assert.ok(disk.has(first.digest, 20) && disk.has(first.digest, 8) && !disk.has(first.digest, 9))
    assert.ok(disk.usedBytes <= 10 * unitBytes + 5000)
  }
})

test('others make room, but not those that are to be kept', async (t) => {
  const { disk, first, second } = await setUp(t, 10 * unitBytes)
  for (let index = 0; index < 5; index++) await disk.save(other, index, randomBytes(chunkBytes))
  assert.equal(await fetchMissing([second], { kept: nothing }), undefined)
  // No more of them than had to go.
  assert.equal(disk.bytesOf(other), 4 * chunkBytes)
  const unkept = await fetchMissing([first], { kept: new Set([second.digest]) })
  assert.deepEqual(unkept, { bytes: one.length - 4 * chunkBytes, bound: 'cap' })
  assert.equal(disk.bytesOf(other), 0)
  await checkKept(disk, second, two)
  assert.equal(unitsOn(disk, first, one), 4)
})

test('the free-space reserve ends the fetch, too', async (t) => {
  const { first } = await setUp(t, 1 << 30, 2 ** 52)
  assert.deepEqual(await fetchMissing([first], { kept: nothing }), { bytes: one.length, bound: 'reserve' })
  assert.equal(first.blob.ranges.length, 0)
})

test('a disk that takes nothing costs one range, and one that is gone none', async (t) => {
  const { disk, first } = await setUp(t)
  disk.save = async () => Promise.resolve(false)
  assert.deepEqual(await fetchMissing([first], { kept: nothing }), { bytes: one.length, bound: 'refused' })
  assert.equal(first.blob.ranges.length, 1)
  const gone = await setUp(t)
  await rm(gone.directory, { recursive: true })
  assert.deepEqual(await fetchMissing([gone.first], { kept: nothing }), {
    bytes: one.length,
    bound: 'refused',
  })
  assert.equal(gone.first.blob.ranges.length, 0)
})

test('a range that fails ends the fetch with its error, what was fetched before stays', async (t) => {
  const { disk, first, second } = await setUp(t)
  first.blob.before = (offset) => {
    if (offset >= 8 * chunkBytes) throw new RegistryFsError('UNAVAILABLE', 'away')
  }
  await assert.rejects(fetchMissing([first, second], { kept: nothing }), { code: 'UNAVAILABLE' })
  assert.ok(disk.has(first.digest, 3))
  assert.equal(second.blob.ranges.length, 0)
  first.blob.before = () => undefined
  assert.equal(await fetchMissing([first, second], { kept: nothing }), undefined)
  assert.equal(first.blob.fetchedBytes + second.blob.fetchedBytes, one.length + two.length)
})

test('who gives up the fetch is not kept waiting by what is under way', async (t) => {
  const { first } = await setUp(t)
  const controller = new AbortController()
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  first.blob.before = async (offset) => {
    if (offset === 0) return
    controller.abort()
    await gate
  }
  await assert.rejects(fetchMissing([first], { kept: nothing, signal: controller.signal }), {
    code: 'ABORTED',
  })
  assert.ok(first.blob.ranges.length <= 5)
  letGo()
})

test('a chunk that the disk did not take when it came, and that is in memory, is written without being fetched', async (t) => {
  const { disk, first } = await setUp(t)
  const save = disk.save.bind(disk)
  disk.save = async () => Promise.resolve(false)
  for (const index of [1, 6])
    await first.cache.saveLent(
      first.digest,
      index,
      one.subarray(index * chunkBytes, (index + 1) * chunkBytes),
    )
  disk.save = save
  assert.equal(await fetchMissing([first], { kept: nothing }), undefined)
  assert.equal(first.blob.fetchedBytes, one.length - 2 * chunkBytes)
  await checkKept(disk, first, one)
})
