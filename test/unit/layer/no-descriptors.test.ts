import assert from 'node:assert/strict'
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { CachedSource } from '../../../src/blob/cached-source.js'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import type { Demand } from '../../../src/layer/demand.js'
import { loadIndex } from '../../../src/layer/index-file.js'
import { Inflations } from '../../../src/layer/inflations.js'
import { loadJournal } from '../../../src/layer/journal.js'
import type { Layer } from '../../../src/layer/layer.js'
import { PassTurns, type PassTurn } from '../../../src/layer/pass-turns.js'
import { SpanSource } from '../../../src/layer/span-source.js'
import type { FileRange } from '../../../src/layer/windows.js'
import { digestHex } from '../../../src/util/digest.js'
import { describeError, RegistryFsError } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { longSpanLayer } from '../../support/long-span-layer.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'
import { withoutDescriptors } from '../../support/without-descriptors.js'
import { zstdFrame, zstdFrames } from '../../support/zstd-frames.js'

const tar = tarOf(file('disk', sampleData('text', 12 << 20)))
const end = 11 << 20
const mediaType = 'application/vnd.oci.image.layer.v1.tar+zstd'

/** What a layer has in the cache directory: names and bytes. */
async function kept(fixture: LayerFixture): Promise<Map<string, Buffer>> {
  const { digest } = fixture.descriptor
  const found = new Map<string, Buffer>()
  for (const folder of ['indexes', join('chunks', 'sha256', digestHex(digest))])
    for (const name of await readdir(join(fixture.directory, folder)))
      found.set(join(folder, name), await readFile(join(fixture.directory, folder, name)))
  return found
}

/** More may have been written meanwhile: decoded spans are, behind everybody's back. */
async function isKept(fixture: LayerFixture, before: ReadonlyMap<string, Buffer>): Promise<void> {
  const now = await kept(fixture)
  for (const [name, bytes] of before) assert.ok(now.get(name)?.equals(bytes), name)
}

/** Of which a process before has made an index and cached all chunks. */
async function readBefore(fixture: LayerFixture): Promise<LayerFixture> {
  const layer = await fixture.open()
  await layer.ready()
  await layer.close()
  return fixture
}

async function reads(layer: Layer, offset: number, content = tar): Promise<void> {
  assert.ok((await layer.read(offset, 4096)).equals(content.subarray(offset, offset + 4096)), String(offset))
}

function isTold(fixture: LayerFixture): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof RegistryFsError && error.code === 'UNREADABLE', describeError(error))
    assert.equal(error.layer, fixture.descriptor.digest)
    assert.match(error.message, /layer\.idx cannot be read now: .*\(EMFILE\)/)
    return true
  }
}

const gzipLayer = async (t: TestContext): Promise<LayerFixture> =>
  readBefore(await layerFixture(t, tar, gzipSync(tar, { level: 1 })))

test('a window that no descriptor is there for is told of, nothing is thrown away, and it is read later', async (t) => {
  const fixture = await gzipLayer(t)
  const layer = await fixture.open()
  await layer.ready()
  const before = await kept(fixture)
  const { fetchedBytes } = fixture.blob
  await withoutDescriptors(async () => {
    for (let i = 0; i < 3; i++) await assert.rejects(layer.read(end, 4096), isTold(fixture))
  })
  await isKept(fixture, before)
  assert.equal(layer.state, 'ready')
  for (let offset = 0; offset < tar.length - 4096; offset += 1 << 20) await reads(layer, offset)
  assert.equal(fixture.blob.fetchedBytes, fetchedBytes)
})

test('a chunk that no descriptor is there for comes from the registry, and stays on disk', async (t) => {
  const fixture = await gzipLayer(t)
  const layer = await fixture.open()
  await layer.ready()
  const before = await kept(fixture)
  const { fetchedBytes } = fixture.blob
  // The first span has no window.
  await withoutDescriptors(async () => reads(layer, 0))
  assert.ok(fixture.blob.fetchedBytes > fetchedBytes)
  await isKept(fixture, before)
  const next = await fixture.open()
  const fetchedThen = fixture.blob.fetchedBytes
  await reads(next, 0)
  assert.equal(fixture.blob.fetchedBytes, fetchedThen)
})

test('a window that the disk does not give costs no chunk', async (t) => {
  const fixture = await gzipLayer(t)
  const { descriptor, directory, blob } = fixture
  const { digest, size } = descriptor
  const path = join(directory, 'indexes', 'layer.idx')
  const loaded = await loadIndex(path, { digest, blobBytes: size }, false)
  const { spans, windows, zeros } = loaded?.index ?? assert.fail()
  let isFailing = true
  const find = (index: number): Buffer | FileRange => {
    const found = windows.find(index)
    // Of a process nothing lies at its first addresses: reading there is EIO.
    return Buffer.isBuffer(found) || !isFailing ? found : { ...found, path: '/proc/self/mem', offset: 0 }
  }
  const disk = diskChunks(join(directory, 'chunks'))
  await disk.scan()
  const memory = new MemoryCache(64 << 20)
  const compressed = new CachedSource(digest, blob, new ChunkCache(memory, disk), () => undefined)
  const source = new SpanSource({
    digest,
    spans,
    windows: { find, loss: undefined },
    zeros,
    compressed,
    memory,
    inflations: new Inflations(),
    zlib: false,
    zstd: () => undefined,
  })
  const before = await kept(fixture)
  const { fetchedBytes } = blob
  const target = Buffer.alloc(4096)
  await assert.rejects(source.readSome(end, target, {}), {
    code: 'CORRUPT',
    message: /the window of a span is damaged/,
  })
  await isKept(fixture, before)
  isFailing = false
  assert.equal(await source.readSome(end, target, {}), target.length)
  assert.ok(target.equals(tar.subarray(end, end + target.length)))
  assert.equal(blob.fetchedBytes, fetchedBytes)
})

test('an index that is gone is missed, whether or not there are descriptors', async (t) => {
  const fixture = await gzipLayer(t)
  const layer = await fixture.open()
  await layer.ready()
  const before = await kept(fixture)
  await rm(join(fixture.directory, 'indexes', 'layer.idx'))
  await withoutDescriptors(async () => {
    await assert.rejects(layer.read(end, 4096), isTold(fixture))
  })
  // Known to be gone: what is looked for is another one.
  assert.equal(layer.state, 'unread')
  await reads(layer, end)
  await layer.ready()
  before.delete(join('indexes', 'layer.idx'))
  await isKept(fixture, before)
})

for (const [what, blob] of [
  ['many frames', zstdFrames(tar, 1 << 20)],
  ['one frame', zstdFrame(tar)],
] as const) {
  test(`chunks of a zstd layer of ${what} come from the registry while there are no descriptors`, async (t) => {
    const fixture = await readBefore(await layerFixture(t, tar, blob, { mediaType }))
    const layer = await fixture.open()
    await layer.ready()
    const before = await kept(fixture)
    await withoutDescriptors(async () => {
      for (const offset of [end, 0]) await reads(layer, offset)
    })
    await isKept(fixture, before)
    const next = await fixture.open()
    const { fetchedBytes } = fixture.blob
    for (const offset of [end, 0]) await reads(next, offset)
    assert.equal(fixture.blob.fetchedBytes, fetchedBytes)
  })
}

test('the window of a long span that no descriptor is there for is told of, and read later', async (t) => {
  const { fixture, start } = await longSpanLayer(t, 40 << 20)
  await readBefore(fixture)
  const layer = await fixture.open()
  await layer.ready()
  const before = await kept(fixture)
  const { fetchedBytes } = fixture.blob
  await withoutDescriptors(async () => {
    await assert.rejects(layer.read(start + 100, 4096), isTold(fixture))
  })
  await isKept(fixture, before)
  await reads(layer, start + 100, fixture.tar)
  assert.equal(fixture.blob.fetchedBytes, fetchedBytes)
})

test('an index that no descriptor is there for is no reason for a first pass', async (t) => {
  const fixture = await gzipLayer(t)
  const layer = await fixture.open()
  const before = await kept(fixture)
  const { fetchedBytes } = fixture.blob
  await withoutDescriptors(async () => {
    assert.equal((await layer.status()).state, 'unread')
    await assert.rejects(layer.read(end, 4096), isTold(fixture))
    await assert.rejects(layer.ready(), isTold(fixture))
    assert.equal((await layer.status()).state, 'unread')
  })
  await isKept(fixture, before)
  assert.equal((await layer.status()).state, 'ready')
  await reads(layer, end)
  assert.equal(fixture.blob.fetchedBytes, fetchedBytes)
})

/** Descriptors run out as soon as a pass has its turn. */
class PoorTurns extends PassTurns {
  isPoor = true

  override async run<T>(
    demand: Demand,
    memory: MemoryCache,
    work: (turn: PassTurn) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const run = async (): Promise<T> => super.run(demand, memory, work, signal)
    return this.isPoor ? withoutDescriptors(run) : run()
  }
}

test('an index that another process has made meanwhile is waited for while there are no descriptors', async (t) => {
  const fixture = await gzipLayer(t)
  const path = join(fixture.directory, 'indexes', 'layer.idx')
  await rename(path, `${path}.later`)
  const passes = new PoorTurns()
  const layer = await fixture.open({ passes })
  const { fetchedBytes } = fixture.blob
  await assert.rejects(layer.read(end, 4096), isTold(fixture))
  assert.equal(layer.state, 'unread')
  assert.equal(layer.failure, undefined)
  passes.isPoor = false
  await rename(`${path}.later`, path)
  await reads(layer, end)
  assert.equal(fixture.blob.fetchedBytes, fetchedBytes)
})

test('a journal that no descriptor is there for is kept, and gone on from later', async (t) => {
  const content = tarOf(file('disk', sampleData('random', 72 << 20)))
  const fixture = await layerFixture(t, content, gzipSync(content, { level: 1 }))
  const { blob, directory, descriptor } = fixture
  const path = join(directory, 'indexes', 'layer.journal')
  // Not before the first checkpoint is on disk.
  blob.before = async (offset) => {
    if (offset < 56 << 20) return
    while ((await stat(path)).size < 1000) await sleep(10)
    throw new RegistryFsError('UNAVAILABLE', 'broken off')
  }
  const first = await fixture.open()
  await assert.rejects(first.ready(), { code: 'UNAVAILABLE' })
  await first.close()
  const journaled = await readFile(path)
  assert.ok(journaled.length > 1000)
  blob.before = () => undefined
  await assert.rejects(
    withoutDescriptors(async () =>
      loadJournal(path, { digest: descriptor.digest, blobBytes: descriptor.size }),
    ),
    { code: 'UNREADABLE', message: /layer\.journal cannot be read now: .*EMFILE/ },
  )
  const passes = new PoorTurns()
  const said: string[] = []
  const log = { ...silentLogger, info: (_: unknown, words?: string) => void said.push(words ?? '') }
  const layer = await fixture.open({ passes, log })
  await assert.rejects(layer.ready(), { code: 'UNREADABLE', layer: descriptor.digest })
  assert.deepEqual(await readFile(path), journaled)
  passes.isPoor = false
  await layer.ready()
  assert.ok(said.includes('first pass resumes'), said.join('\n'))
})
