import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf } from '../../src/util/digest.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { run } from '../support/mounted.js'
import { blobBytesSent, mountImages, registryfs, sha256Of, sha256sum } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }
const disk = sampleData('mixed', 24 << 20)
const layer = gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', disk)))
const corruptBlobs = new Set<string>([digestOf(layer.bytes)])

async function setUp(t: TestContext): Promise<{
  mirror: FakeRegistry
  primary: FakeRegistry
  reference: string
  cache: string
  flags: readonly string[]
}> {
  const start = async (): Promise<FakeRegistry> => {
    const registry = await FakeRegistry.start()
    t.after(async () => registry.stop())
    registry.addImage('disk', 'v1', { layers: [layer] })
    return registry
  }
  const [mirror, primary] = [await start(), await start()]
  const directory = await temporaryDirectory(t)
  const conf = join(directory, 'registries.conf')
  await writeFile(
    conf,
    `[[registry]]\nlocation = "${primary.host}"\n[[registry.mirror]]\nlocation = "${mirror.host}"\n`,
  )
  return {
    mirror,
    primary,
    reference: `${primary.host}/disk:v1`,
    cache: join(directory, 'cache'),
    flags: ['--registries-conf', conf],
  }
}

test('wrong bytes of a mirror are found out by the first pass, and the next is asked', options, async (t) => {
  const { mirror, primary, reference, cache, flags } = await setUp(t)
  mirror.faults = { corruptBlobs }
  // Nobody has seen any of them: no reason to fail.
  const indexed = await registryfs({ cache }, 'index', reference, ...flags, '--log-level', 'warn')
  assert.equal(indexed.code, 0, indexed.stderr)
  assert.match(indexed.stderr, /the mirror has failed and is set aside/)
  assert.ok(blobBytesSent(mirror) > layer.bytes.length / 4)
  assert.ok(blobBytesSent(primary) >= layer.bytes.length)
  const mount = await mountImages(t, { cache, images: [`d=${reference}`], flags })
  assert.equal(await sha256sum(join(mount.path, 'd/disk/downloaded')), sha256Of(disk))
  assert.equal(await mount.stop(), 0)
})

test(
  'who has read wrong bytes of a mirror is told by an error, and the next reader gets the right ones',
  options,
  async (t) => {
    const { mirror, reference, cache, flags } = await setUp(t)
    // Slow enough for the first bytes to be read long before the wrong one comes.
    mirror.faults = { corruptBlobs, bytesPerSecond: 3 << 20 }
    const mount = await mountImages(t, { cache, images: [`d=${reference}`], flags })
    const path = join(mount.path, 'd/disk/downloaded')
    const first = await run('sha256sum', [path])
    assert.notEqual(first.code, 0)
    await sleep(2100)
    assert.equal(await sha256sum(path), sha256Of(disk))
    assert.equal(await mount.stop(), 0)
  },
)

test('a chunk that does not fit its seal is had elsewhere', options, async (t) => {
  const { mirror, primary, reference, cache, flags } = await setUp(t)
  assert.equal((await registryfs({ cache }, 'index', reference, ...flags)).code, 0)
  assert.equal(blobBytesSent(primary), 0)
  await rm(join(cache, 'chunks'), { recursive: true })
  mirror.forgetRequests()
  mirror.faults = { corruptBlobs }
  const mount = await mountImages(t, { cache, images: [`d=${reference}`], flags })
  assert.equal(await sha256sum(join(mount.path, 'd/disk/downloaded')), sha256Of(disk))
  assert.ok(blobBytesSent(mirror) > 0 && blobBytesSent(primary) > 0)
})
