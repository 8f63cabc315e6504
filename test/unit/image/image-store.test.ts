import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { DiskDocumentStore } from '../../../src/blob/disk-document-store.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { ImageStore } from '../../../src/image/image-store.js'
import { TagStore } from '../../../src/image/tag-store.js'
import { Layers } from '../../../src/layer/layers.js'
import { hostPlatform } from '../../../src/registry/platform.js'
import { parseReference } from '../../../src/registry/reference.js'
import { RegistryClient } from '../../../src/registry/registry-client.js'
import { silentLogger } from '../../../src/util/log.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { FakeRegistry } from '../../support/fake-registry.js'
import { gzipLayer } from '../../support/images.js'
import { dir, file, tarOf } from '../../support/tar-of.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

async function setUp(t: TestContext, tagTtlMs = 0) {
  const fake = await FakeRegistry.start()
  t.after(async () => fake.stop())
  const directory = await temporaryDirectory(t)
  const newStore = (): ImageStore => {
    const registry = new RegistryClient({
      documents: new DiskDocumentStore(join(directory, 'documents'), { readOnly: false }, silentLogger),
      log: silentLogger,
      platform: hostPlatform(),
      retry: { attempts: 1 },
    })
    const disk = diskChunks(join(directory, 'chunks'))
    const layers = new Layers({
      cache: new ChunkCache(new MemoryCache(1 << 24), disk),
      indexDirectory: join(directory, 'indexes'),
      readOnly: false,
      zlib: false,
      readDeadlineMs: 5000,
      log: silentLogger,
    })
    t.after(async () => {
      await layers.close()
      await registry.close()
    })
    const tags = new TagStore(join(directory, 'tags'), { readOnly: false }, silentLogger)
    return new ImageStore({ registry, layers, tags, tagTtlMs, log: silentLogger })
  }
  const addImage = (tag: string, content: string): void => {
    fake.addImage('team/disk', tag, { layers: [gzipLayer(tarOf(file('f', content)))] })
  }
  const reference = parseReference(`${fake.host}/team/disk:1`)
  const requests = (method: string): number =>
    fake.requests.filter((request) => request.method === method && request.path.includes('/manifests/'))
      .length
  return { fake, directory, newStore, addImage, reference, requests }
}

test('a tag costs one GET at first, one HEAD afterwards, and no GET in the next process either', async (t) => {
  const { newStore, addImage, reference, requests } = await setUp(t)
  addImage('1', 'one')
  const store = newStore()
  const image = await store.open(reference)
  assert.deepEqual([requests('GET'), requests('HEAD')], [1, 0])
  assert.equal(await store.open(reference), image)
  assert.deepEqual([requests('GET'), requests('HEAD')], [1, 1])
  await newStore().open(reference)
  assert.deepEqual([requests('GET'), requests('HEAD')], [1, 2])
})

test('within the TTL a tag is not asked for again', async (t) => {
  const { newStore, addImage, reference, requests } = await setUp(t, 60_000)
  addImage('1', 'one')
  const store = newStore()
  for (let i = 0; i < 5; i++) await store.open(reference)
  assert.equal(await store.exists(reference), true)
  assert.deepEqual([requests('GET'), requests('HEAD')], [1, 0])
})

test('a moved tag shows its new image to new lookups', async (t) => {
  const { newStore, addImage, reference } = await setUp(t)
  addImage('1', 'one')
  const store = newStore()
  const first = await store.open(reference)
  addImage('1', 'two')
  const second = await store.open(reference)
  assert.notEqual(second, first)
  const source = (await second.root.lookup(Buffer.from('f')))?.open()
  assert.equal((await source?.read(0, 10))?.toString(), 'two')
})

test('while something under it is open a tag does not move', async (t) => {
  const { newStore, addImage, reference } = await setUp(t)
  addImage('1', 'one')
  const store = newStore()
  const first = await store.open(reference)
  store.isPinned = (image) => image === first
  addImage('1', 'two')
  assert.equal(await store.open(reference), first)
  store.isPinned = () => false
  assert.notEqual(await store.open(reference), first)
})

test('a registry that is down leaves the tag what it was', async (t) => {
  const { fake, newStore, addImage, reference } = await setUp(t)
  addImage('1', 'one')
  const store = newStore()
  const image = await store.open(reference)
  await fake.stop()
  assert.equal(await store.open(reference), image)
  assert.equal((await newStore().open(reference)).manifest.digest, image.manifest.digest)
})

test('a tag that its registry cannot be asked for is what it was, and is told of until it can', async (t) => {
  const { fake, newStore, addImage, reference } = await setUp(t)
  addImage('1', 'one')
  const image = await newStore().open(reference)
  const store = newStore()
  for (const status of [401, 403, 429, 503]) {
    fake.faults = { failing: { kind: 'any', status, times: 100 } }
    assert.equal((await store.open(reference)).manifest.digest, image.manifest.digest)
    assert.equal(await newStore().exists(reference), true)
    const [unchecked, ...more] = store.unchecked()
    assert.deepEqual(more, [])
    assert.equal(unchecked?.digest, image.manifest.topDigest)
    assert.match(unchecked.reason, new RegExp(String(status)))
  }
  fake.faults = { html: true }
  assert.equal((await store.open(reference)).manifest.digest, image.manifest.digest)
  fake.faults = {}
  addImage('1', 'two')
  assert.notEqual((await store.open(reference)).manifest.digest, image.manifest.digest)
  assert.deepEqual(store.unchecked(), [])
})

test('what does not exist is NOT_FOUND with the name of the image, and is asked for once', async (t) => {
  const { newStore, reference, requests } = await setUp(t, 60_000)
  const store = newStore()
  await assert.rejects(store.open(reference), { code: 'NOT_FOUND', image: /team\/disk:1$/ })
  const before = requests('GET')
  await assert.rejects(store.open(reference), { code: 'NOT_FOUND' })
  assert.equal(await store.exists(reference), false)
  assert.equal(requests('GET'), before)
})

test('tags and digests of the same image share it, and its layers', async (t) => {
  const { newStore, addImage, reference } = await setUp(t)
  addImage('1', 'one')
  addImage('2', 'one')
  const store = newStore()
  const first = await store.open(reference)
  assert.equal(await store.open({ ...reference, tag: '2' }), first)
  assert.equal(await store.open({ ...reference, tag: undefined, digest: first.manifest.digest }), first)
  assert.equal(store.opened().length, 1)
})

test('an image of a hundred layers loads the index of each once', async (t) => {
  const { fake, newStore, directory } = await setUp(t)
  const layers = Array.from({ length: 100 }, (_, i) =>
    gzipLayer(tarOf(dir('d'), file(`d/${String(i)}`, 'x'), file(`own-${String(i)}/implied`))),
  )
  fake.addImage('team/disk', 'many', { layers })
  const reference = parseReference(`${fake.host}/team/disk:many`)
  await (await newStore().open(reference)).index()
  const before = fake.requests.length
  const image = await newStore().open(reference)
  const blobs = (): number =>
    fake.requests.slice(before).filter(({ path }) => path.includes('/blobs/')).length
  const walk = async (): Promise<number> => {
    let names = 0
    const todo = [image.root]
    for (let node = todo.pop(); node !== undefined; node = todo.pop())
      for (const { node: child } of await node.entries()) {
        names++
        if (child.attributes.type === 'directory') todo.push(child)
      }
    return names
  }
  assert.equal(await walk(), 301)
  // Whoever asked for one again would have to read the layer again.
  await rm(join(directory, 'indexes'), { recursive: true, force: true })
  await rm(join(directory, 'chunks'), { recursive: true, force: true })
  assert.equal(await walk(), 301)
  assert.equal((await image.root.lookup(Buffer.from('own-7')))?.attributes.type, 'directory')
  assert.equal(blobs(), 0)
})
