import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CachedSource } from '../../../src/blob/cached-source.js'
import { chunkBytes, ChunkCache } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { Inflations } from '../../../src/layer/inflations.js'
import { SeekTable } from '../../../src/layer/seek-table.js'
import { SpanSource } from '../../../src/layer/span-source.js'
import { MemoryWindows } from '../../../src/layer/windows.js'
import { ZeroMap } from '../../../src/layer/zero-map.js'
import { digestOf } from '../../../src/util/digest.js'
import { hasCode } from '../../../src/util/errors.js'
import { noDiskChunks } from '../../support/disk-chunks.js'
import { MemoryBlob } from '../../support/memory-blob.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

test('of a layer 64 MiB of spans are under way at most, and those that nobody waits for any more never are', async (t) => {
  const lengths = { uncompressedLength: 15 << 20, crc32: 0, windowLength: 0 }
  const spans = new SeekTable()
  for (let i = 0; i < 10; i++) {
    const compressedBitOffset = i * 2 * chunkBytes * 8
    spans.append({
      ...lengths,
      compressedBitOffset,
      compressedBitEnd: compressedBitOffset + 8000,
      uncompressedOffset: i * lengths.uncompressedLength,
      atHeader: true,
      zero: false,
    })
  }
  const blob = new MemoryBlob(Buffer.alloc(20 * chunkBytes))
  const digest = digestOf(blob.bytes)
  const disk = noDiskChunks(await temporaryDirectory(t))
  const memory = new MemoryCache(256 << 20)
  const inflations = new Inflations()
  const source = new SpanSource({
    digest,
    spans,
    windows: new MemoryWindows(),
    zeros: new ZeroMap(),
    compressed: new CachedSource(digest, blob, new ChunkCache(memory, disk), () => undefined),
    memory,
    inflations,
    zlib: false,
    zstd: () => undefined,
  })
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  blob.before = async () => gate
  const controller = new AbortController()
  const target = Buffer.alloc(1)
  const outcomes = Promise.allSettled(
    // Backwards, so that nothing is fetched ahead.
    Array.from({ length: 10 }, async (_, i) =>
      source.readSome((9 - i) * lengths.uncompressedLength, target, { signal: controller.signal }),
    ),
  )
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(inflations.total, 4)
  assert.equal(blob.ranges.length, 4)
  controller.abort()
  for (const outcome of await outcomes)
    assert.ok(outcome.status === 'rejected' && hasCode(outcome.reason, 'ABORTED'))
  letGo()
  blob.before = () => undefined
  // Zeros are no gzip: whoever comes now is told, and is not kept waiting by those who are gone.
  await assert.rejects(source.readSome(0, target, {}), (error: unknown) => hasCode(error, 'CORRUPT'))
  assert.equal(inflations.total, 4 + 2)
})
