import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { CachedSource } from '../../../src/blob/cached-source.js'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
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
import { oneBlock } from '../../support/one-block.js'
import { runPass } from '../../support/run-pass.js'
import { sampleData } from '../../support/sample-data.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const pieceBytes = 8 << 20
const { source, blob } = oneBlock(50 << 20, sampleData('text', 300_000))
const { spans } = await runPass(blob, { keepOutput: false })
const long = spans.findIndex((span) => span.uncompressedLength > 40 << 20)
const start = spans[long]?.uncompressedOffset ?? 0

interface Fixture {
  readonly blob: MemoryBlob
  readonly memory: MemoryCache
  readonly inflations: Inflations
  readonly spans: SpanSource
  readonly read: (offset: number, length: number, signal?: AbortSignal) => Promise<Buffer>
}

async function fixture(t: TestContext, bytes = blob, memoryBytes = 96 << 20, zlib = false): Promise<Fixture> {
  const disk = noDiskChunks(await temporaryDirectory(t))
  const memory = new MemoryCache(memoryBytes)
  const table = new SeekTable()
  const windows = new MemoryWindows()
  for (const span of spans) {
    table.append(span)
    windows.append(span.window)
  }
  const stored = new MemoryBlob(Buffer.from(bytes))
  const digest = digestOf(blob)
  const inflations = new Inflations()
  const spanSource = new SpanSource({
    digest,
    spans: table,
    windows,
    zeros: new ZeroMap(),
    compressed: new CachedSource(digest, stored, new ChunkCache(memory, disk), () => undefined),
    memory,
    inflations,
    zlib,
    zstd: () => undefined,
  })
  t.after(() => {
    spanSource.retire()
  })
  const read = async (offset: number, length: number, signal?: AbortSignal): Promise<Buffer> => {
    const target = Buffer.alloc(length)
    for (let filled = 0; filled < length;) {
      const made = await spanSource.readSome(offset + filled, target.subarray(filled), { signal })
      assert.ok(made > 0)
      filled += made
    }
    return target
  }
  return { blob: stored, memory, inflations, spans: spanSource, read }
}

const expected = (offset: number, length: number): Buffer => source.subarray(offset, offset + length)

test('the sample has one long span, behind others, that begins within a gzip member', () => {
  assert.ok(long > 0)
  assert.equal(spans[long]?.atHeader, false)
})

for (const [what, memoryBytes] of [
  ['much', 96 << 20],
  ['little', 3 << 20],
] as const) {
  for (const zlib of [false, true]) {
    test(`a long span is decoded once for who reads forward, with ${what} memory${zlib ? ', by zlib' : ''}`, async (t) => {
      const { read, inflations } = await fixture(t, blob, memoryBytes, zlib)
      for (let offset = start; offset < source.length; offset += 300_000) {
        const length = Math.min(300_000, source.length - offset)
        assert.ok((await read(offset, length)).equals(expected(offset, length)), String(offset))
      }
      assert.equal(inflations.total, 1)
    })
  }
}

test('any number of readers of a long span take one way through it', async (t) => {
  const { read, inflations } = await fixture(t)
  const offsets = Array.from({ length: 100 }, (_, i) => start + ((i * 7_919_113) % (50 << 20)))
  await Promise.all(
    offsets.map(async (offset) => {
      assert.ok((await read(offset, 5000)).equals(expected(offset, 5000)))
    }),
  )
  assert.equal(inflations.total, 1)
})

test('reads of one reader that come in any order have nothing decoded twice', async (t) => {
  const { read, inflations } = await fixture(t)
  for (const piece of [0, 2, 1, 4, 3, 5]) {
    const offset = start + piece * pieceBytes
    assert.ok((await read(offset, 100)).equals(expected(offset, 100)))
  }
  assert.equal(inflations.total, 1)
})

test('who waits holds no memory, and is forgotten when he gives up', async (t) => {
  const { blob: stored, read, memory, inflations } = await fixture(t)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  stored.before = async () => gate
  const controller = new AbortController()
  const readers = Array.from({ length: 6 }, async (_, i) =>
    read(start + i * pieceBytes, 100, controller.signal),
  )
  const patient = read(start + 2 * pieceBytes, 100)
  await new Promise((resolve) => setImmediate(resolve))
  // One decoder and the piece that it makes.
  assert.ok(memory.reservedBytes < 2 * pieceBytes, String(memory.reservedBytes))
  controller.abort()
  const outcomes = await Promise.allSettled(readers)
  assert.ok(outcomes.every((one) => one.status === 'rejected' && hasCode(one.reason, 'ABORTED')))
  letGo()
  assert.ok((await patient).equals(expected(start + 2 * pieceBytes, 100)))
  assert.equal(inflations.total, 1)
  await new Promise((resolve) => setImmediate(resolve))
  const kept = [0, 1, 2, 3, 4, 5].filter((piece) => {
    const place = piece === 0 ? '' : `:${String(piece)}`
    return memory.has(`span:${digestOf(blob)}:${String(start)}${place}`)
  })
  // Those on the way to it, and none behind.
  assert.deepEqual(kept, [0, 1, 2])
})

test('where all have given up nothing is decoded', async (t) => {
  const { blob: stored, read, memory } = await fixture(t)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  stored.before = async () => gate
  const controller = new AbortController()
  const readers = [1, 2, 3].map(async (i) => read(start + i * pieceBytes, 100, controller.signal))
  await new Promise((resolve) => setImmediate(resolve))
  controller.abort()
  await Promise.allSettled(readers)
  letGo()
  stored.before = () => undefined
  assert.ok((await read(start, 100)).equals(expected(start, 100)))
  for (const piece of [1, 2, 3])
    assert.ok(!memory.has(`span:${digestOf(blob)}:${String(start)}:${String(piece)}`))
})

test('wrong bytes of a long span are fetched once more, and CORRUPT when they stay wrong', async (t) => {
  const damaged = Buffer.from(blob)
  // In the last match: no earlier piece is touched.
  damaged[blob.length - 12] = (damaged[blob.length - 12] ?? 0) ^ 0xff
  const last = source.length - 100
  const once = await fixture(t, damaged)
  let ranges = 0
  once.blob.before = (offset, length) => {
    if (offset + length === blob.length && ++ranges === 2) once.blob.bytes = blob
  }
  assert.ok((await once.read(last, 100)).equals(expected(last, 100)))
  const always = await fixture(t, damaged)
  await assert.rejects(always.read(last, 100), (error: unknown) => hasCode(error, 'CORRUPT'))
  assert.ok((await always.read(start, 100)).equals(expected(start, 100)))
})
