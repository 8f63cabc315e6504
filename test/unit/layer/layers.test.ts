import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import type { BlobSource } from '../../../src/blob/source.js'
import type { Layer } from '../../../src/layer/layer.js'
import type { LayerOrigin } from '../../../src/layer/layer-origin.js'
import { Layers } from '../../../src/layer/layers.js'
import type { DiffId } from '../../../src/util/digest.js'
import { RegistryFsError, type ErrorCode } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { noDiskChunks } from '../../support/disk-chunks.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { MemoryBlob } from '../../support/memory-blob.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'

const disk = sampleData('random', 3 << 20)
const tar = tarOf(file('disk', disk))
const one: LayerOrigin = { host: 'a', repository: 'team/disk', image: 'a/team/disk@1' }
const sameImage = { ...one }
const otherImage = { ...one, image: 'a/team/disk@2' }
const otherRepository = { ...one, repository: 'copy', image: 'a/copy@1' }
const otherHost = { host: 'b', repository: 'team/disk', image: 'b/team/disk@1' }

function failing(blob: MemoryBlob, code: ErrorCode): MemoryBlob {
  blob.before = async () => Promise.reject(new RegistryFsError(code, 'as told'))
  return blob
}

async function setUp(t: TestContext) {
  const { descriptor, directory, diffId, blob } = await layerFixture(t, tar)
  const compressed = blob.bytes
  const indexDirectory = join(directory, 'of-layers')
  await mkdir(join(indexDirectory, 'sha256'), { recursive: true })
  const chunks = noDiskChunks(join(directory, 'none'))
  const cache = new ChunkCache(new MemoryCache(8 << 20), chunks)
  const layers = new Layers({
    cache,
    indexDirectory,
    readOnly: false,
    zlib: false,
    readDeadlineMs: 10_000,
    log: silentLogger,
  })
  t.after(async () => layers.close())
  const good = (): MemoryBlob => new MemoryBlob(compressed)
  const get = (origin: LayerOrigin, blob: BlobSource, said: DiffId = diffId, size = descriptor.size): Layer =>
    layers.get(
      { ...descriptor, size },
      origin,
      () => blob,
      async () => Promise.resolve(said),
    )
  const check = async (layer: Layer): Promise<void> => {
    assert.ok((await layer.read(512, disk.length)).equals(disk))
  }
  /** So that it is fetched again. */
  const forget = async (): Promise<void> => cache.removeBlob(descriptor.digest)
  return { layers, get, good, check, forget, compressed, descriptor }
}

test('a layer is one for all images that name it', async (t) => {
  const { layers, get, good, check } = await setUp(t)
  const layer = get(one, good())
  await check(layer)
  for (const origin of [sameImage, otherImage, otherRepository, otherHost]) {
    assert.equal(get(origin, good()), layer)
    assert.equal(layers.isGone(layer, origin), false)
  }
})

test('what one image says wrongly of a layer is no error of another', async (t) => {
  const { layers, get, good, check } = await setUp(t)
  const lie = `sha256:${'0'.repeat(64)}` as DiffId
  const first = get(one, good(), lie)
  await assert.rejects(first.ready(), { code: 'DIGEST_MISMATCH' })
  assert.equal(get(sameImage, good(), lie), first)
  assert.ok(!layers.isGone(first, one) && layers.isGone(first, otherImage))
  const second = get(otherImage, good())
  assert.notEqual(second, first)
  await check(second)
  // And it is that one's from now on.
  assert.ok(layers.isGone(first, one))
  assert.equal(get(one, good(), lie), second)
})

test('a size that one image says wrongly is no error of another', async (t) => {
  const { layers, get, good, check, compressed, descriptor } = await setUp(t)
  const longer = failing(new MemoryBlob(Buffer.concat([compressed, Buffer.alloc(7)])), 'PROTOCOL')
  const first = get(one, longer, undefined, descriptor.size + 7)
  await assert.rejects(first.read(0, 512), { code: 'PROTOCOL' })
  assert.ok(layers.isGone(first, otherImage))
  await check(get(otherImage, good()))
})

test('what a repository has no more another one may have, and what a registry that is away has another registry', async (t) => {
  for (const [code, helps, helpsNot] of [
    ['GONE', [otherRepository, otherHost], [sameImage, otherImage]],
    ['DENIED', [otherRepository, otherHost], [sameImage, otherImage]],
    ['UNAVAILABLE', [otherHost], [sameImage, otherImage, otherRepository]],
    ['CORRUPT', [otherHost], [sameImage, otherImage, otherRepository]],
  ] as const) {
    for (const other of helps) {
      const { layers, get, good, check } = await setUp(t)
      const first = get(one, failing(good(), code))
      await assert.rejects(first.read(0, 512), { code })
      for (const same of helpsNot) {
        assert.equal(layers.isGone(first, same), false, `${code} ${same.image}`)
        assert.equal(get(same, good()), first)
      }
      assert.ok(layers.isGone(first, other), `${code} ${other.image}`)
      await check(get(other, good()))
    }
  }
})

test('also of a layer that was read before, as long as nothing of it can be had', async (t) => {
  const { layers, get, good, check, forget } = await setUp(t)
  const blob = good()
  const first = get(one, blob)
  await check(first)
  const { before } = blob
  failing(blob, 'UNAVAILABLE')
  await forget()
  await assert.rejects(first.read(512 + (1 << 20), 100), { code: 'UNAVAILABLE' })
  assert.ok(layers.isGone(first, otherHost) && !layers.isGone(first, otherImage))
  // It is back before anybody else comes.
  blob.before = before
  await check(first)
  assert.equal(get(otherHost, good()), first)
  failing(blob, 'UNAVAILABLE')
  await forget()
  await assert.rejects(first.read(512 + (1 << 20), 100), { code: 'UNAVAILABLE' })
  const second = get(otherHost, good())
  assert.notEqual(second, first)
  await check(second)
})

test('a registry that never answers keeps nobody from another one, once that shows', async (t) => {
  const { layers, get, good, check } = await setUp(t)
  const blob = good()
  let asked = (): void => undefined
  const isAsked = new Promise<void>((resolve) => (asked = resolve))
  blob.before = async () => {
    asked()
    return new Promise(() => undefined)
  }
  const first = get(one, blob)
  first.ready().catch(() => undefined)
  await isAsked
  assert.equal(get(otherHost, good()), first)
  await sleep(3_200)
  assert.equal(get(otherRepository, good()), first)
  const second = get(otherHost, good())
  assert.notEqual(second, first)
  await check(second)
  assert.ok(layers.isGone(first, one))
})
