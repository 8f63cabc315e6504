import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { chunkBytes } from '../../src/blob/chunk-cache.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer, type Layer } from '../support/images.js'
import { run, type Mounted } from '../support/mounted.js'
import { blobBytesSent, mountImages, sha256Of, sha256sum, statusOf } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 60_000 }
const early = sampleData('random', 100_000)
const late = sampleData('random', 6 << 20)
const whole = gzipLayer(
  tarOf(dir('disk/'), file('disk/early', early), file('disk/unread', early), file('disk/late', late)),
)
const other = gzipLayer(tarOf(dir('disk/'), file('disk/good', late.subarray(0, 1 << 20))))

function flipped(): Layer {
  const bytes = Buffer.from(whole.bytes)
  const middle = bytes.length >> 1
  bytes[middle] = (bytes[middle] ?? 0) ^ 1
  return { ...whole, bytes }
}

async function holdsAfter(registry: FakeRegistry, bytes: number): Promise<void> {
  while (blobBytesSent(registry) < bytes) await sleep(10)
  registry.faults.bytesPerSecond = 100
}

/** Waits until the pass over the bad layer has found out. */
async function fails(mount: Mounted): Promise<void> {
  for (;;) {
    const { images } = await statusOf(mount)
    if (images.flatMap(({ layers }) => layers).some(({ state }) => state === 'failed')) return
    await sleep(20)
  }
}

for (const [what, layer, reason] of [
  ['is cut off', { ...whole, bytes: whole.bytes.subarray(0, whole.bytes.length >> 1) }, /ends too early/],
  ['has a bit that fell over', flipped(), /gzip: /],
] as const) {
  test(`a layer that ${what} in the middle fails with the reason, and no other does`, options, async (t) => {
    const registry = await FakeRegistry.start({ faults: { bytesPerSecond: 1_000_000 } })
    t.after(async () => registry.stop())
    registry.addImage('bad', 'v1', { layers: [layer] })
    registry.addImage('good', 'v1', { layers: [other] })
    const cache = join(await temporaryDirectory(t), 'cache')
    const images = ['bad', 'good'].map((name) => `${name}=${registry.host}/${name}:v1`)
    const mount = await mountImages(t, { cache, images })
    const bad = (name: string): string => join(mount.path, 'bad/disk', name)
    const good = join(mount.path, 'good/disk/good')

    // The first two chunks, that is one span, come; the damage does not before that is read.
    const held = holdsAfter(registry, 2.2 * chunkBytes)
    assert.equal(await sha256sum(bad('early')), sha256Of(early))
    await held
    registry.faults.bytesPerSecond = 2_000_000
    const [failing, beside] = await Promise.all([run('sha256sum', [bad('late')]), sha256sum(good)])
    assert.equal(beside, sha256Of(late.subarray(0, 1 << 20)))
    if (what === 'is cut off') assert.match(failing.stderr, /Input\/output error/)

    await fails(mount)
    registry.faults = {}
    // Nothing of it counts once the damage is known, not even what came before.
    const unread = await run('sha256sum', [bad('unread')])
    assert.match(unread.stderr, /Input\/output error/)
    // Told at the last place that there still is; two seconds later a new pass has found names again.
    const places = [join(mount.path, 'bad'), join(mount.path, 'bad/disk'), bad('unread')]
    const told = await run('getfattr', ['-d', '-m', 'user.registryfs.error', ...places])
    assert.match(told.stdout, reason)
    assert.match(told.stdout, /sha256:/)
    assert.equal(await sha256sum(good), sha256Of(late.subarray(0, 1 << 20)))
    const facts = await run('getfattr', ['-d', '-m', 'user.registryfs.error', good])
    assert.equal(facts.stdout, '')
    assert.equal(await mount.stop(), 0)
  })
}
