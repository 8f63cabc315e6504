import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { ResidentSpans } from '../../../src/blob/resident-spans.js'
import type { Layer } from '../../../src/layer/layer.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { makeDamagedIndex } from '../../support/damaged-index.js'
import { FakeResidentTable } from '../../support/fake-resident-table.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { dir, file, tarOf } from '../../support/tar-of.js'
import { estargzOf } from '../../support/toc-layers.js'
import { zstdFrames } from '../../support/zstd-frames.js'

const tar = tarOf(dir('disk'), file('disk/downloaded', sampleData('random', 24 << 20)), file('last', 'end'))
const compressed = gzipSync(tar, { level: 1 })

interface Resident {
  readonly table: FakeResidentTable
  readonly resident: ResidentSpans
}

function residentSpans(): Resident {
  const table = new FakeResidentTable()
  return { table, resident: new ResidentSpans(table) }
}

interface Opened extends Resident {
  readonly layer: Layer
  readonly memory: MemoryCache
  readonly space: number
}

/** In the CRC-32. */
function wrongAtItsEnd(): Buffer {
  const wrong = Buffer.from(compressed)
  wrong.writeUInt32LE((wrong.readUInt32LE(wrong.length - 8) ^ 1) >>> 0, wrong.length - 8)
  return wrong
}

/** `beside`: another of the same process. */
async function open(fixture: LayerFixture, memoryBytes = 128 << 20, beside?: Opened): Promise<Opened> {
  const { table, resident } = beside ?? residentSpans()
  const memory = new MemoryCache(memoryBytes, resident)
  const disk = diskChunks(join(fixture.directory, 'chunks'))
  await disk.scan()
  const cache = new ChunkCache(memory, disk)
  const layer = await fixture.open({ cache })
  return { layer, table, resident, memory, space: layer.placed?.space ?? -1 }
}

/** Nothing is shown that a reader would not be given, and the bytes are the tar's. Returns how many are shown. */
function check({ layer, table, space }: Opened, content = tar): number {
  let sum = 0
  for (const [offset, bytes] of table.shown(space)) {
    assert.ok(bytes.equals(content.subarray(offset, offset + bytes.length)), String(offset))
    assert.ok(offset + bytes.length <= layer.size, `${String(offset)} is not known yet`)
    if (layer.isProven)
      assert.ok(layer.peek(offset, bytes.length) !== undefined, `${String(offset)} is not to be seen`)
    sum += bytes.length
  }
  return sum
}

for (const [codec, blob] of [
  ['gzip', compressed],
  ['zstd', zstdFrames(tar, 3 << 20)],
] as const) {
  test(`what a ${codec} layer has in memory is published, and withdrawn before it goes`, async (t) => {
    const fixture = await layerFixture(t, tar, Buffer.from(blob))
    const all = await open(fixture)
    await all.layer.ready()
    for (let offset = 0; offset < tar.length; offset += 1 << 20) await all.layer.load(offset, 1)
    assert.ok(check(all) > 8 << 20)
    // Without a pass, in memory for a few spans, from which each read pushes others.
    const few = await open(fixture, 40 << 20)
    assert.equal(few.memory.usedBytes, 0)
    const most = few.memory.reserve(20 << 20)
    for (let i = 0; i < 60; i++) {
      await few.layer.load((i * 7_919_113) % tar.length, 1)
      assert.ok(check(few) <= 20 << 20)
    }
    assert.ok(check(few) > 4 << 20)
    most()
    few.memory.removeLayer(fixture.descriptor.digest)
    assert.equal(few.table.space(few.space).spans.size, 0)
  })
}

test('while a pass runs no more is shown than readers may have', async (t) => {
  const fixture = await layerFixture(t, tar, compressed)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  fixture.blob.before = async (offset) => (offset > 8 << 20 ? gate : undefined)
  const opened = await open(fixture)
  const { layer, table, space } = opened
  // Who reads makes the pass keep what it inflates.
  await layer.read(0, 6 << 20)
  assert.equal((await layer.status()).state, 'reading')
  const shown = check(opened)
  assert.ok(shown > 0 && shown < tar.length, String(shown))
  assert.ok(table.space(space).shownBytes <= layer.size)
  const ended = new AbortController()
  const watch = (async () => {
    while (!ended.signal.aborted) {
      check(opened)
      await setImmediate()
    }
  })()
  letGo()
  await layer.ready()
  ended.abort()
  await watch
  assert.equal(table.space(space).shownBytes, Number.MAX_SAFE_INTEGER)
})

test('of a layer that turns out wrong nothing is shown any more', async (t) => {
  const opened = await open(await layerFixture(t, tar, wrongAtItsEnd()))
  opened.resident.openFile(7, { space: opened.space, offset: 1024 }, 24 << 20)
  await opened.layer.read(0, 4096)
  await assert.rejects(opened.layer.ready(), { code: 'CORRUPT' })
  assert.equal(opened.table.files.size, 0)
  assert.equal(opened.table.space(opened.space).shownBytes, 0)
  assert.equal(opened.table.space(opened.space).spans.size, 0)
})

test('of a pass that has failed nothing is shown from that moment on, however long its journal takes', async (t) => {
  const fixture = await layerFixture(t, tar, wrongAtItsEnd())
  await mkdir(join(fixture.directory, 'indexes'))
  // Whoever opens it waits until it is opened at the other end.
  const journal = join(fixture.directory, 'indexes', 'layer.journal')
  execFileSync('mkfifo', [journal])
  const opened = await open(fixture)
  const reading = opened.layer.read(0, 4096)
  await writeFile(journal, '')
  assert.ok((await reading).equals(tar.subarray(0, 4096)))
  let late: Promise<Buffer> | undefined
  try {
    for (const deadline = performance.now() + 30_000; opened.layer.peek(0, 4096) !== undefined;) {
      assert.ok(performance.now() < deadline, 'it is still shown')
      await sleep(5)
    }
    assert.equal(check(opened), 0)
    assert.equal(opened.layer.state, 'reading')
    late = opened.layer.read(0, 4096)
  } finally {
    await readFile(journal)
  }
  await assert.rejects(late, { code: 'CORRUPT' })
})

test('two layers of one digest, of which the first is closed, show each its own', async (t) => {
  const fixture = await layerFixture(t, tar, compressed)
  const first = await open(fixture)
  await first.layer.ready()
  const second = await open(fixture, 128 << 20, first)
  assert.notEqual(second.space, first.space)
  assert.equal(second.table.space(second.space).shownBytes, 0)
  await second.layer.ready()
  await second.layer.load(0, 1)
  assert.ok(check(second) > 0)
  await first.layer.close()
  assert.equal(second.table.space(second.space).shownBytes, Number.MAX_SAFE_INTEGER)
})

test('of a layer whose pass was broken off nothing is shown until the next pass comes there', async (t) => {
  const fixture = await layerFixture(t, tar, compressed)
  fixture.blob.before = (offset) => {
    if (offset >= 8 << 20) throw new RegistryFsError('UNAVAILABLE', 'down')
  }
  const opened = await open(fixture)
  opened.resident.openFile(7, { space: opened.space, offset: 1024 }, 24 << 20)
  await opened.layer.read(0, 4096)
  await assert.rejects(opened.layer.ready())
  assert.equal(opened.table.files.size, 1)
  assert.equal(opened.table.space(opened.space).spans.size, 0)
  assert.equal(opened.layer.peek(0, 4096), undefined)
  assert.equal(check(opened), 0)
  fixture.blob.before = () => undefined
  await sleep(2_100)
  await opened.layer.ready()
  check(opened)
  assert.equal(opened.table.space(opened.space).shownBytes, Number.MAX_SAFE_INTEGER)
})

test('of a layer whose index does not fit nothing is shown until there is a new one', async (t) => {
  const text = tarOf(file('text', sampleData('text', 6 << 20)))
  const fixture = await layerFixture(t, text)
  await makeDamagedIndex(fixture)
  const opened = await open(fixture)
  await opened.layer.load(0, 1)
  assert.ok(check(opened, text) > 0)
  assert.deepEqual(opened.table.renewed, [])
  await assert.rejects(opened.layer.read(text.length - 5000, 1000), { code: 'CORRUPT' })
  assert.equal(opened.table.space(opened.space).shownBytes, 0)
  // Nor what threads are still at.
  assert.deepEqual(opened.table.renewed, [opened.space])
  assert.ok((await opened.layer.read(5000, 1000)).equals(text.subarray(5000, 6000)))
  check(opened, text)
})

test('what is still inflated by an index that does not fit is not kept', async (t) => {
  const text = tarOf(file('text', sampleData('text', 16 << 20)))
  const fixture = await layerFixture(t, text)
  await makeDamagedIndex(fixture)
  await rm(join(fixture.directory, 'chunks'), { recursive: true, force: true, maxRetries: 5 })
  const opened = await open(fixture)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  fixture.blob.before = async (offset) => (offset === 0 ? gate : undefined)
  const reading = opened.layer.read(5000, 1000)
  await assert.rejects(opened.layer.read(text.length - 5000, 1000), { code: 'CORRUPT' })
  letGo()
  assert.ok((await reading).equals(text.subarray(5000, 6000)))
  assert.equal(opened.layer.state, 'unread')
  assert.equal(opened.table.space(opened.space).spans.size, 0)
})

test('who was reading by an index that turned out wrong elsewhere reads on by the next one', async (t) => {
  const text = tarOf(file('text', sampleData('text', 12 << 20)))
  const fixture = await layerFixture(t, text)
  await makeDamagedIndex(fixture)
  await rm(join(fixture.directory, 'chunks'), { recursive: true })
  const { layer } = await open(fixture)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  let waiting = 0
  fixture.blob.before = async (offset) => {
    if (offset > 0) return
    waiting++
    await gate
  }
  const place = 3 << 19
  const early = [layer.read(place, 1000), layer.load(place, 1000).then(async () => layer.read(place, 1000))]
  for (let tries = 0; tries < 500 && waiting === 0; tries++) await sleep(10)
  assert.ok(waiting > 0)
  await assert.rejects(layer.read(text.length - 5000, 1000), { code: 'CORRUPT' })
  letGo()
  for (const bytes of await Promise.all(early)) assert.ok(bytes.equals(text.subarray(place, place + 1000)))
  await layer.ready()
  assert.equal(layer.state, 'ready')
})

test('of a layer without spans nothing is shown', async (t) => {
  const toc = await estargzOf(tar)
  for (const fixture of [
    await layerFixture(t, tar, tar, { mediaType: 'application/vnd.oci.image.layer.v1.tar' }),
    await layerFixture(t, tar, toc.blob, { annotations: toc.annotations }),
  ]) {
    const opened = await open(fixture)
    await opened.layer.ready()
    await opened.layer.read(0, 4 << 20)
    assert.deepEqual(opened.table.shown(opened.space), [])
  }
})

test('a span that is read elsewhere stays in memory, and what follows it is read ahead', async (t) => {
  const fixture = await layerFixture(t, tar, compressed)
  await (await open(fixture)).layer.ready()
  const opened = await open(fixture, 16 << 20)
  const { layer, table, resident, memory, space } = opened
  const starts = async (offset: number): Promise<number> => {
    await layer.load(offset, 1)
    const found = [...table.space(space).spans.keys()].filter((start) => start <= offset)
    return Math.max(...found)
  }
  // From behind, so that nobody takes it for a reader that goes on.
  const spans: number[] = []
  for (let mebibyte = 12; mebibyte >= 1; mebibyte -= 2) spans.push(await starts(mebibyte << 20))
  const oldest = spans[0] as number
  resident.touched([space, oldest])
  // Of six there is room for three.
  const giveBack = memory.reserve(memory.maximumBytes)
  assert.ok(!table.space(space).spans.has(spans[1] as number), 'the oldest but one is gone')
  assert.ok(table.space(space).spans.has(oldest), 'the oldest was read')
  giveBack()
  const before = table.epochs

  // One after the other: the fourth comes without being asked for.
  const order: number[] = []
  for (const mebibyte of [20, 19, 18]) order.unshift(await starts(mebibyte << 20))
  const [first, second, third] = order as [number, number, number]
  const behind = Math.max(...order) + (table.space(space).spans.get(third)?.bytes.length ?? 0)
  assert.ok(!table.space(space).spans.has(behind))
  resident.touched([space, first, space, second])
  resident.touched([space, third])
  for (let tries = 0; tries < 500 && !table.space(space).spans.has(behind); tries++) await sleep(10)
  assert.ok(table.space(space).spans.has(behind))
  for (let tries = 0; tries < 500 && table.epochs === before; tries++) await sleep(10)
  assert.equal(table.epochs, before + 1)
})

test('a span that was offered and cannot be kept is retracted before its memory is used again', async (t) => {
  const fixture = await layerFixture(t, tar, compressed)
  const first = await open(fixture)
  await first.layer.ready()
  await first.layer.load(0, 1)
  const length = first.table.space(first.space).spans.get(0)?.bytes.length ?? 0
  assert.ok(length % (128 << 10) !== 0, 'no room is lost')
  assert.deepEqual(first.table.retracted, [])
  // Short enough to be kept, but for the memory that it takes.
  const small = await open(fixture, 8 * (length + 1))
  await small.layer.load(0, 1)
  assert.deepEqual(small.table.retracted, [0])
  assert.equal(small.layer.peek(0, 1), undefined)
  assert.ok((await small.layer.read(0, length)).equals(tar.subarray(0, length)))
})

test('all spans that a read asks for are inflated at the same time', async (t) => {
  const fixture = await layerFixture(t, tar, compressed)
  const first = await open(fixture)
  await first.layer.ready()
  await first.layer.load(0, 1)
  const end = first.table.space(first.space).spans.get(0)?.bytes.length ?? 0
  await rm(join(fixture.directory, 'chunks'), { recursive: true })
  const { layer, table, space } = await open(fixture)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  fixture.blob.before = async () => gate
  const loaded = layer.load(end - 1, 2)
  let begun = 0
  for (let tries = 0; tries < 500 && begun < 2; tries++) {
    await sleep(10)
    begun = (await layer.status()).spansInflated
  }
  assert.equal(begun, 2)
  letGo()
  await loaded
  assert.deepEqual(new Set(table.space(space).spans.keys()), new Set([0, end]))
})
