import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cachedBytes, cachedOnDisk } from '../support/cached-bytes.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { run, type Mounted } from '../support/mounted.js'
import {
  blobBytesSent,
  complaints,
  mountImages,
  sha256Of,
  sha256sum,
  statusOf,
} from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 240_000 }
const disk = sampleData('mixed', 96 << 20)
const layer = gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', disk)))
const layerBytes = layer.bytes.length

const bytesPerSecond = 1_500_000

async function slowRegistry(t: { after: (end: () => Promise<void>) => void }): Promise<FakeRegistry> {
  // Of each connection; the pass has four.
  const registry = await FakeRegistry.start({ faults: { bytesPerSecond } })
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  return registry
}

/** Waits until the first pass has come as far as this share of the layer. */
async function reaches(mount: Mounted, share: number): Promise<void> {
  for (;;) {
    const status = await statusOf(mount)
    const report = status.images[0]?.layers[0]
    assert.notEqual(report?.state, 'ready', 'the pass was too fast')
    // Nobody would begin it anew.
    assert.notEqual(report?.state, 'failed', report?.error)
    if ((report?.frontierCompressed ?? 0) >= share * layerBytes) return
    await sleep(100)
  }
}

/**
 * Until all that was sent is on the disk, but for what is just on its way: kill -9 leaves no more than that. `lost`: of what
 * was sent, by those killed before.
 */
async function settles(registry: FakeRegistry, cache: string, lost = 0): Promise<void> {
  registry.faults.bytesPerSecond = 100
  await cachedOnDisk(cache, () => blobBytesSent(registry) - lost - (7 << 20))
}

for (const how of ['kill -9', 'SIGTERM'] as const) {
  test(`after ${how} in a first pass the next mount goes on where it was`, options, async (t) => {
    const registry = await slowRegistry(t)
    const cache = join(await temporaryDirectory(t), 'cache')
    const images = [`d=${registry.host}/disk:v1`]
    const first = await mountImages(t, { cache, images })
    const reading = run('sha256sum', [join(first.path, 'd/disk/downloaded')], 120_000)
    await reaches(first, 0.5)
    await settles(registry, cache)
    if (how === 'kill -9') await first.kill9()
    else assert.equal(await first.stop(), 0)
    assert.notEqual((await reading).code, 0)
    const before = blobBytesSent(registry)
    registry.faults = {}
    registry.forgetRequests()

    // At the same place: what kill -9 left behind is cleared.
    const second = await mountImages(t, { cache, images, mountPoint: first.path })
    assert.equal(await sha256sum(join(second.path, 'd/disk/downloaded')), sha256Of(disk))
    const both = before + blobBytesSent(registry)
    const allowed = layerBytes + (8 << 20)
    assert.ok(both <= allowed, `${String(both)} bytes fetched of ${String(layerBytes)}`)
    // As the daemon counts, it did not begin again either.
    assert.ok((await statusOf(second)).requests.blobBytes < 0.7 * layerBytes)
    assert.equal(await second.stop(), 0)
    const logs = complaints(first.log() + second.log())
    assert.equal(logs.filter((line) => !line.includes('clearing the stale mount')).join('\n'), '')
    assert.equal(logs.length, how === 'kill -9' ? 1 : 0)

    registry.forgetRequests()
    const third = await mountImages(t, { cache, images })
    assert.equal(await sha256sum(join(third.path, 'd/disk/downloaded')), sha256Of(disk))
    assert.equal(blobBytesSent(registry), 0)
  })
}

test('killed three times, a first pass still comes to its end', options, async (t) => {
  const registry = await slowRegistry(t)
  const cache = join(await temporaryDirectory(t), 'cache')
  const images = [`d=${registry.host}/disk:v1`]
  let lost = 0
  for (const share of [0.25, 0.5, 0.75]) {
    const mount = await mountImages(t, { cache, images })
    const reading = run('stat', [join(mount.path, 'd/disk')], 120_000)
    await reaches(mount, share)
    await settles(registry, cache, lost)
    await mount.kill9()
    await reading
    lost = blobBytesSent(registry) - (await cachedBytes(cache))
    registry.faults.bytesPerSecond = bytesPerSecond
  }
  const last = await mountImages(t, { cache, images })
  assert.equal(await sha256sum(join(last.path, 'd/disk/downloaded')), sha256Of(disk))
  const sent = blobBytesSent(registry)
  assert.ok(sent <= layerBytes + (24 << 20), `${String(sent)} bytes fetched of ${String(layerBytes)}`)
  assert.deepEqual(complaints(last.log()), [])
})
