import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { ChunkCache, chunkBytes } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { downloadBytes, OrderedDownload } from '../../../src/layer/ordered-download.js'
import { digestOf } from '../../../src/util/digest.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { MemoryBlob } from '../../support/memory-blob.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const content = randomBytes(75 * chunkBytes + 12_345)
const digest = digestOf(content)

interface Fixture {
  readonly blob: MemoryBlob
  readonly cache: ChunkCache
  readonly open: (offset?: number) => OrderedDownload
}

async function setUp(t: TestContext): Promise<Fixture> {
  const disk = diskChunks(await temporaryDirectory(t))
  await disk.scan()
  const blob = new MemoryBlob(content)
  const cache = new ChunkCache(new MemoryCache(1 << 20), disk)
  t.after(async () => cache.settle())
  return {
    blob,
    cache,
    open: (offset = 0) =>
      new OrderedDownload({ digest, blob, cache, offset, signal: new AbortController().signal }),
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}

for (const offset of [0, 1, chunkBytes, 5 * chunkBytes + 777, content.length - 1]) {
  test(`all bytes from ${String(offset)} come in order, and their chunks are kept`, async (t) => {
    const { blob, cache, open } = await setUp(t)
    const download = open(offset)
    let at = offset
    for (let part = await download.next(); part !== undefined; part = await download.next()) {
      assert.equal(part.offset, at)
      assert.ok(part.bytes.equals(content.subarray(at, at + part.bytes.length)), String(at))
      at += part.bytes.length
      download.release(at)
    }
    assert.equal(at, content.length)
    await cache.settle()
    for (let chunk = Math.floor(offset / chunkBytes); chunk < 76; chunk++)
      assert.ok(cache.has(digest, chunk), String(chunk))
    const asked = blob.ranges.reduce((sum, range) => sum + range.length, 0)
    assert.equal(asked, content.length - offset + (offset % chunkBytes), 'nothing is asked for twice')
  })
}

test('what the consumer holds is not overwritten, and no more than the ring is asked for', async (t) => {
  const { blob, cache, open } = await setUp(t)
  const download = open()
  const held: Buffer[] = []
  let heldBytes = 0
  while (heldBytes < downloadBytes) {
    const part = await download.next()
    assert.ok(part !== undefined)
    held.push(part.bytes)
    heldBytes += part.bytes.length
  }
  const more = download.next()
  await cache.settle()
  await pause(20)
  assert.equal(Math.max(...blob.ranges.map((range) => range.offset + range.length)), downloadBytes)
  assert.ok(Buffer.concat(held).equals(content.subarray(0, downloadBytes)))
  download.release(downloadBytes)
  assert.equal((await more)?.offset, downloadBytes)
  download.close()
})

test('a consumer that is waited for gets fewer and longer ranges', async (t) => {
  const { blob, cache, open } = await setUp(t)
  const download = open()
  const waiting: number[] = []
  let end = 0
  for (;;) {
    const next = download.next()
    const part = await Promise.race([next, cache.settle().then(async () => pause(250))])
    if (part !== undefined) {
      end = part.offset + part.bytes.length
      waiting.push(end)
    }
    if (end === content.length) break
    // Everything that can come has come.
    if (part === undefined) {
      for (const offset of waiting.splice(0)) download.release(offset)
      const late = await next
      if (late === undefined) break
      end = late.offset + late.bytes.length
      waiting.push(end)
    }
  }
  const longest = Math.max(...blob.ranges.slice(-3).map((range) => range.length))
  assert.equal(longest, 16 * chunkBytes)
})

test('chunks that the cache has are not asked for', async (t) => {
  const { blob, cache, open } = await setUp(t)
  for (const chunk of [0, 3, 4, 40]) {
    const bytes = Buffer.from(content.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes))
    await cache.saveLent(digest, chunk, bytes)
  }
  const download = open()
  const parts: Buffer[] = []
  for (let part = await download.next(); part !== undefined; part = await download.next()) {
    parts.push(Buffer.from(part.bytes))
    download.release(part.offset + part.bytes.length)
  }
  assert.ok(Buffer.concat(parts).equals(content))
  assert.equal(blob.fetchedBytes, content.length - 4 * chunkBytes)
})

test('a range that fails fails the download when its turn comes', async (t) => {
  const { blob, open } = await setUp(t)
  blob.before = (offset) => {
    if (offset > 0) throw new RegistryFsError('UNAVAILABLE', 'gone')
  }
  const download = open()
  let at = 0
  await assert.rejects(
    async () => {
      for (let part = await download.next(); part !== undefined; part = await download.next()) {
        at = part.offset + part.bytes.length
        download.release(at)
      }
    },
    { code: 'UNAVAILABLE' },
  )
  assert.ok(at >= 4 * chunkBytes)
})
