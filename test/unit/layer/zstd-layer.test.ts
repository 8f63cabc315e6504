import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { DiskChunkStore } from '../../../src/blob/disk-chunk-store.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import type { Layer } from '../../../src/layer/layer.js'
import { silentLogger } from '../../../src/util/log.js'
import { frameAround } from '../../support/empty-input.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { dir, file, tarOf } from '../../support/tar-of.js'
import { passBytes } from '../../../src/layer/pass-sizes.js'
import { skippableFrame, streamedFrame, zstdFrame, zstdFrames } from '../../support/zstd-frames.js'

const disk = sampleData('mixed', 48 << 20)
const tar = tarOf(dir('disk'), file('disk/disk.img', disk), file('last', 'end'))
const singleFrame = zstdFrame(tar, '-3')
const mediaType = 'application/vnd.oci.image.layer.v1.tar+zstd'

async function zstdFixture(t: TestContext, blob: Buffer, content = tar): Promise<LayerFixture> {
  return layerFixture(t, content, blob, { mediaType })
}

async function randomReads(layer: Layer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const offset = (i * 7_919_113) % (tar.length - 70_000)
    assert.ok(
      (await layer.read(offset, 65_536)).equals(tar.subarray(offset, offset + 65_536)),
      String(offset),
    )
  }
}

for (const [what, blob] of [
  ['one frame', singleFrame],
  ['many frames', zstdFrames(tar, 700_000)],
  ['frames of 5 MiB', zstdFrames(tar, 5 << 20)],
  [
    'skippable frames first, between and last',
    Buffer.concat([
      skippableFrame(Buffer.from('pzstd'), 7),
      zstdFrames(tar.subarray(0, 9 << 20), 3 << 20),
      skippableFrame(Buffer.alloc(300_000)),
      zstdFrame(tar.subarray(9 << 20)),
      skippableFrame(Buffer.alloc(0), 15),
    ]),
  ],
  ['a long window', zstdFrame(tar, '-1', '--long=27')],
  ['no content size and no checksum', zstdFrame(tar, '-1', '--no-check', '--no-content-size')],
] as const) {
  test(`a zstd layer of ${what} is read once, and every byte comes back`, async (t) => {
    const fixture = await zstdFixture(t, Buffer.from(blob))
    const layer = await fixture.open()
    await layer.read(0, 1)
    for (let offset = 0; offset < tar.length; offset += 1 << 20)
      assert.ok((await layer.read(offset, 1 << 20)).equals(tar.subarray(offset, offset + (1 << 20))))
    await layer.prove()
    await randomReads(layer, 30)
    const again = await fixture.open()
    assert.equal((await again.status()).state, 'ready')
    await randomReads(again, 60)
    assert.equal(fixture.blob.fetchedBytes, fixture.blob.size)
  })
}

test('a reader behind the first pass has frames decoded as what they are', async (t) => {
  const fixture = await zstdFixture(t, zstdFrames(tar, 700_000))
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  fixture.blob.before = async (offset) => (offset > 0 ? gate : undefined)
  // Too little memory for any span to be kept.
  const store = diskOf(fixture, false)
  await store.scan()
  const layer = await fixture.open({ cache: new ChunkCache(new MemoryCache(1 << 20), store) })
  assert.ok((await layer.read(0, 4 << 20)).equals(tar.subarray(0, 4 << 20)))
  assert.ok((await layer.read(100_000, 1 << 20)).equals(tar.subarray(100_000, 100_000 + (1 << 20))))
  assert.equal((await layer.status()).state, 'reading')
  assert.ok((await layer.status()).spansInflated > 0)
  letGo()
  await layer.ready()
  assert.equal(fixture.blob.fetchedBytes, fixture.blob.size)
})

test('spans within one frame are kept decoded, and found again after a restart', async (t) => {
  const fixture = await zstdFixture(t, singleFrame)
  await (await fixture.open()).ready()
  const layer = await fixture.open()
  const before = fixture.blob.ranges.length
  // The chunks of the blob are gone: what is read can come from nowhere but the decoded spans.
  const folder = join(fixture.directory, 'chunks', 'sha256', fixture.descriptor.digest.slice(7))
  for (const name of await readdir(folder)) if (name.length < 9) await rm(join(folder, name))
  const offset = 30 << 20
  assert.ok((await layer.read(offset, 2 << 20)).equals(tar.subarray(offset, offset + (2 << 20))))
  assert.equal(fixture.blob.ranges.length, before)
})

test('a frame with MiBs of empty blocks before, between and behind its data is read wherever it is looked at', async (t) => {
  const content = tarOf(file('small', 'A'), file('data', sampleData('mixed', 120_000)))
  const blob = frameAround(5 << 20, [
    content.subarray(0, 700),
    content.subarray(700, 100_000),
    content.subarray(100_000),
  ])
  const fixture = await zstdFixture(t, blob, content)
  await (await fixture.open()).ready()
  const layer = await fixture.open({ cache: withoutDisk(fixture) })
  for (const offset of [content.length - 10, 99_990, 0, 690, 100_000])
    assert.ok((await layer.read(offset, 20)).equals(content.subarray(offset, offset + 20)), String(offset))
})

test('evicted spans are decoded again from the start once, never twice for a reader that goes forward', async (t) => {
  const fixture = await zstdFixture(t, singleFrame)
  await (await fixture.open()).ready()
  // Chunks may still be on their way there.
  await rm(join(fixture.directory, 'chunks'), { recursive: true, maxRetries: 10 })
  const layer = await fixture.open({ cache: withoutDisk(fixture) })
  for (let offset = 0; offset < tar.length; offset += 100_000) {
    assert.ok((await layer.read(offset, 100_000)).equals(tar.subarray(offset, offset + 100_000)))
  }
  assert.ok(
    fixture.blob.fetchedBytes <= 2 * fixture.blob.size + (8 << 20),
    String(fixture.blob.fetchedBytes / fixture.blob.size),
  )
})

test('the window of a zstd frame is part of the memory budget for as long as it is held', async (t) => {
  const windowBytes = 32 << 20
  const fixture = await zstdFixture(t, zstdFrame(tar, '-1', '--long=25', '--no-content-size'))
  const cache = withoutDisk(fixture)
  const { memory } = cache
  const layer = await fixture.open({ cache })
  let most = 0
  fixture.blob.before = () => {
    most = Math.max(most, memory.reservedBytes)
  }
  const done = layer.ready()
  while ((await layer.status()).state !== 'ready') {
    most = Math.max(most, memory.reservedBytes)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await done
  await layer.close()
  assert.ok(most > passBytes + windowBytes, `${String(most >> 20)} MiB during the pass`)
  const offset = 40 << 20
  memory.removeLayer(fixture.descriptor.digest)
  // The index is there: spans within the frame are decoded from its start.
  const waiting = await fixture.open({ cache })
  assert.equal(memory.reservedBytes, 0)
  assert.ok((await waiting.read(offset, 1000)).equals(tar.subarray(offset, offset + 1000)))
  assert.ok(memory.reservedBytes > windowBytes, 'the decoder waits')
  const giveBack = memory.reserve(48 << 20)
  assert.equal(memory.reservedBytes, 48 << 20, 'and lets go of its window where that is needed')
  giveBack()
  assert.ok(
    (await waiting.read(offset + (2 << 20), 1000)).equals(tar.subarray(offset + (2 << 20)).subarray(0, 1000)),
  )
})

test('decoders work as many at a time as the memory budget has room for', { timeout: 120_000 }, async (t) => {
  const count = 20
  const windowBytes = 8 << 20
  const memory = new MemoryCache(64 << 20)
  let most = 0
  const reserve = memory.reserve.bind(memory)
  memory.reserve = (...args) => {
    const giveBack = reserve(...args)
    most = Math.max(most, memory.reservedBytes)
    return giveBack
  }
  const content = sampleData('mixed', 6 << 20)
  const images = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const own = tarOf(file(`disk-${String(i)}`, content))
      // The window is what its header says, whatever comes.
      const fixture = await zstdFixture(t, streamedFrame(own, '-1', '--long=23'), own)
      const before = await fixture.open()
      await before.ready()
      await before.close()
      const layer = await fixture.open({ cache: new ChunkCache(memory, diskOf(fixture, true)) })
      await layer.ready()
      return { own, layer }
    }),
  )
  assert.equal(memory.reservedBytes, 0)
  most = 0
  const offset = 5 << 20
  const read = async ({ own, layer }: (typeof images)[0], signal?: AbortSignal): Promise<void> => {
    const bytes = await layer.read(offset, 1000, { signal })
    assert.ok(bytes.equals(own.subarray(offset, offset + 1000)))
  }
  const gone = new AbortController()
  const last = images.at(-1) ?? assert.fail()
  const reads = images.map(async (image) => read(image))
  const aborted = read(last, gone.signal)
  gone.abort()
  await assert.rejects(aborted, { code: 'ABORTED' })
  await Promise.all(reads)
  assert.ok(most > 3 * windowBytes, `${String(most >> 20)} MiB: several at a time`)
  assert.ok(most <= 48 << 20, `${String(most >> 20)} MiB of 64`)
  assert.ok(memory.reservedBytes <= 48 << 20)
  // A window that is larger than all there is for them: alone, and then the rest.
  const whole = await zstdFixture(t, streamedFrame(tar, '-1', '--long=26'))
  await (await whole.open()).ready()
  const large = await whole.open({ cache: new ChunkCache(memory, diskOf(whole, true)) })
  const at = 40 << 20
  const [bytes] = await Promise.all([large.read(at, 1000), ...images.map(async (image) => read(image))])
  assert.ok(bytes.equals(tar.subarray(at, at + 1000)))
})

function withoutDisk(fixture: LayerFixture): ChunkCache {
  return new ChunkCache(new MemoryCache(64 << 20), diskOf(fixture, true))
}

function diskOf(fixture: LayerFixture, readOnly: boolean): DiskChunkStore {
  return new DiskChunkStore({
    directory: join(fixture.directory, 'other'),
    maximumBytes: readOnly ? 0 : 1 << 30,
    freeReserveBytes: 0,
    readOnly,
    log: silentLogger,
  })
}

for (const [what, damage, code, message] of [
  ['cut off', (blob: Buffer) => blob.subarray(0, blob.length - 5), 'CORRUPT', /truncated/],
  [
    'followed by something else',
    (blob: Buffer) => Buffer.concat([blob, Buffer.from('tail')]),
    'CORRUPT',
    /no frame/,
  ],
  ['with a flipped bit', (blob: Buffer) => flipped(blob, blob.length >> 1), 'CORRUPT', /zstd/],
  ['with a wrong checksum', (blob: Buffer) => flipped(blob, blob.length - 2), 'CORRUPT', /checksum/],
  ['of a window of 2 GiB', () => Buffer.from('28b52ffd04a8010000', 'hex'), 'UNSUPPORTED', /128 MiB/],
  [
    'that needs a dictionary',
    () => Buffer.from('28b52ffd01500700000000', 'hex'),
    'CORRUPT',
    /dictionary|Dictionary/,
  ],
  [
    'of only a skippable frame cut off',
    () => skippableFrame(Buffer.alloc(9)).subarray(0, 12),
    'CORRUPT',
    /truncated/,
  ],
] as const) {
  test(`a zstd layer ${what} is refused with ${code} and the reason`, async (t) => {
    const small = tarOf(file('a', sampleData('text', 300_000)))
    const fixture = await zstdFixture(t, damage(zstdFrame(small, '--check')), small)
    await assert.rejects((await fixture.open()).ready(), { code, message })
  })
}

function flipped(blob: Buffer, offset: number): Buffer {
  const copy = Buffer.from(blob)
  copy.writeUInt8((blob[offset] ?? 0) ^ 0x10, offset)
  return copy
}

test('a pass over zstd frames that was stopped continues at a frame, and over one frame at its start', async (t) => {
  const content = tarOf(file('a', sampleData('random', 80 << 20)), file('b', 'b'))
  for (const blob of [zstdFrames(content, 8 << 20), zstdFrame(content, '-1')]) {
    const fixture = await zstdFixture(t, blob, content)
    const first = await fixture.open()
    fixture.blob.before = async (offset) => {
      if (offset < blob.length * 0.7) return
      await new Promise((resolve) => setTimeout(resolve, 300))
      void first.close()
    }
    await assert.rejects(first.ready())
    await first.close()
    fixture.blob.before = () => undefined
    const second = await fixture.open()
    await second.ready()
    assert.ok(
      fixture.blob.fetchedBytes <= blob.length + (17 << 20),
      String(fixture.blob.fetchedBytes / blob.length),
    )
    assert.ok((await second.read(70 << 20, 5000)).equals(content.subarray(70 << 20, (70 << 20) + 5000)))
  }
})

test('a thousandfold bomb of zstd frames takes no memory, and its pass can be stopped', async (t) => {
  // 1 GiB of zeros and of a pattern, in frames of 64 MiB.
  const part = Buffer.alloc(64 << 20)
  const pattern = Buffer.alloc(64 << 20, 'registryfs')
  const head = tarOf(file('bomb', '', { claimedSize: 2 ** 30 })).subarray(0, 512)
  const frames = [
    zstdFrame(head),
    ...Array.from({ length: 8 }, () => [zstdFrame(part), zstdFrame(pattern)]).flat(),
  ]
  const blob = Buffer.concat([...frames, zstdFrame(Buffer.alloc(1024))])
  assert.ok(blob.length < 1 << 20)
  const fixture = await zstdFixture(t, blob, Buffer.alloc(0))
  const layer = await fixture.open({ diffId: async () => Promise.resolve(undefined) })
  const before = process.memoryUsage.rss()
  const started = performance.now()
  void layer.ready().catch(() => undefined)
  await layer.read(512 + (300 << 20), 1000)
  await layer.close()
  assert.ok(performance.now() - started < 20_000)
  const again = await fixture.open({ diffId: async () => Promise.resolve(undefined) })
  await again.ready()
  assert.equal(again.size, 512 + 2 ** 30 + 1024)
  assert.ok(
    (await again.read(512 + (65 << 20), 20)).equals(pattern.subarray((1 << 20) % 10, ((1 << 20) % 10) + 20)),
  )
  const grown = (process.memoryUsage.rss() - before) >> 20
  assert.ok(grown < 260, `${String(grown)} MiB`)
})
