import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { containerdisk, type Containerdisk } from '../support/containerdisk.js'
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.js'
import { output, run, type Mounted } from '../support/mounted.js'
import { blobBytesSent, complaints, mountImages, statusOf, untilReady } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 280_000 }

/** For chunks that a reader wants before the pass has them whole. */
const spareBytes = 2 << 20

interface Setup {
  readonly registry: FakeRegistry
  readonly disk: Containerdisk
  readonly layerBytes: number
  readonly mount: Mounted
  /** By qemu-img through the mount; throws unless the outcome is the same disk. */
  convert(): Promise<void>
}

async function setUp(
  t: TestContext,
  given: FakeRegistryOptions,
  ...flags: readonly string[]
): Promise<Setup> {
  const files = await temporaryDirectory(t)
  const disk = await containerdisk('qcow2')
  const layerBytes = disk.image.layers[0]?.size ?? 0
  // Of each connection. A first pass of 12 s: it fetches the first 4 MiB alone, then all the rest of a layer this small at once.
  const bytesPerSecond = 700_000
  const registry = await FakeRegistry.start({ ...given, faults: { bytesPerSecond, ...given.faults } })
  t.after(async () => registry.stop())
  for (const blob of disk.image.blobs) registry.addBlob(blob)
  registry.addManifest('disk', 'v1', disk.image.manifest, disk.image.mediaType)
  const mount = await mountImages(t, {
    cache: join(files, 'cache'),
    images: [`d=${registry.host}/disk:v1`],
    flags,
  })
  const convert = async (): Promise<void> => {
    const target = join(files, 'out.raw')
    const path = join(mount.path, 'd/disk/downloaded')
    const args = ['convert', '-f', 'qcow2', '-O', 'raw', path, target]
    const { code, stderr } = await run('qemu-img', args, 200_000)
    assert.equal(stderr, '')
    assert.equal(code, 0)
    assert.match(await output('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', disk.raw, target), /identical/)
  }
  return { registry, disk, layerBytes, mount, convert }
}

/** Nobody who reads a log learns what lets him in. */
function assertNoSecrets({ registry, mount }: Setup): void {
  for (const token of registry.tokens.values) assert.ok(!mount.log().includes(token))
  assert.doesNotMatch(mount.log(), /X-Amz-Signature=[0-9a-f]/)
}

async function untilRequests(registry: FakeRegistry, count: number): Promise<void> {
  while (registry.requests.length < count) await new Promise((resolve) => setTimeout(resolve, 50))
}

// They only wait, so they wait together.
describe('a slow link', { concurrency: 4 }, () => {
  for (const seconds of [2, 5]) {
    test(`a convert goes well while tokens live ${String(seconds)} seconds`, options, async (t) => {
      const setup = await setUp(t, { auth: { ttlMs: seconds * 1000 } })
      const { registry, layerBytes, mount } = setup
      await setup.convert()
      const { requests } = await statusOf(mount)
      assert.ok(requests.tokenRequests >= 2, `${String(requests.tokenRequests)} tokens`)
      assert.equal(requests.tokenRequests, registry.tokens.values.length)
      // Renewed before they ended, not because of a refusal each time; a machine that stands still has one now and then.
      const refused = registry.requests.filter(({ kind, status }) => kind === 'blob' && status >= 400)
      assert.ok(refused.length < requests.tokenRequests - 1, `${String(refused.length)} refusals`)
      assert.ok(blobBytesSent(registry) <= layerBytes + spareBytes)
      assert.equal(await mount.stop(), 0)
      assert.deepEqual(complaints(mount.log()), [])
      assertNoSecrets(setup)
    })
  }

  test('a token that is refused before its time is replaced', options, async (t) => {
    const setup = await setUp(t, { auth: { ttlMs: 2_000, expiresIn: 3_600 } })
    await setup.convert()
    assert.ok(setup.registry.requests.some(({ kind, status }) => kind === 'blob' && status === 401))
    assert.ok(setup.registry.tokens.values.length >= 2)
    assert.deepEqual(complaints(setup.mount.log()), [])
    assertNoSecrets(setup)
  })

  for (const status of [403, 401]) {
    test(`signed URLs that end with ${String(status)} are asked for again`, options, async (t) => {
      const setup = await setUp(t, {
        auth: { ttlMs: 4_000 },
        faults: { redirect: 'cdn', urlTtlMs: 2_000, expiredUrlStatus: status },
      })
      const { registry, layerBytes, mount } = setup
      await setup.convert()
      const redirects = registry.requests.filter(({ kind, status: got }) => kind === 'blob' && got === 307)
      assert.ok(redirects.length >= 2, `${String(redirects.length)} redirects`)
      const cdn = registry.requests.filter(({ kind }) => kind === 'cdn')
      assert.ok(cdn.some((request) => request.status === 206))
      assert.ok(cdn.every(({ authorized }) => !authorized))
      assert.ok(blobBytesSent(registry) <= layerBytes + spareBytes)
      assert.equal(await mount.stop(), 0)
      assert.deepEqual(complaints(mount.log()), [])
      assertNoSecrets(setup)
    })
  }

  test('a convert outlives resets, stalls, a short 503 and a 429', options, async (t) => {
    const setup = await setUp(
      t,
      {
        faults: {
          resetAfter: { bytes: 300_000, times: 3 },
          failing: { kind: 'blob', status: 503, times: 2 },
        },
      },
      ...['--stall', '3s'],
    )
    const { registry, mount } = setup
    const converted = setup.convert()
    await untilRequests(registry, 6)
    registry.faults.failing = { kind: 'blob', status: 429, times: 1, retryAfter: '1' }
    registry.faults.stallAfter = { bytes: 200_000, times: 1 }
    await converted
    await untilReady(mount)
    assert.equal(await mount.stop(), 0)
    assert.doesNotMatch(mount.log(), /"level":50/)
  })

  test('the reader that waits for the end of a slow layer outwaits --read-deadline', options, async (t) => {
    const setup = await setUp(t, {}, '--read-deadline', '3s')
    const path = join(setup.mount.path, 'd/disk/downloaded')
    const { code, stderr } = await run('tail', ['-c', '1', path], 120_000)
    assert.deepEqual([code, stderr], [0, ''])
    assert.deepEqual(complaints(setup.mount.log()), [])
  })

  test(
    'a registry that stops answering ends a read with ETIMEDOUT after --read-deadline',
    options,
    async (t) => {
      const setup = await setUp(t, {}, '--read-deadline', '4s', '--stall', '60s')
      await output('head', '-c', '3', join(setup.mount.path, 'd/disk/downloaded'))
      setup.registry.faults.stallAfter = { bytes: 0, times: 1000 }
      const path = join(setup.mount.path, 'd/disk/downloaded')
      const { code, stderr } = await run('tail', ['-c', '1', path], 120_000)
      assert.equal(code, 1)
      assert.match(stderr, /Connection timed out/)
      const facts = await output('getfattr', '-d', '-m', 'user.registryfs.error', path)
      assert.match(facts, /TIMEOUT/)
      setup.registry.faults = {}
      assert.equal(await setup.mount.stop(), 0)
    },
  )
})
