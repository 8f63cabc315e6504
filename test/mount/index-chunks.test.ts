import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cachedBytes } from '../support/cached-bytes.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { diffIdOf, gzipLayer, tarLayer, type Layer } from '../support/images.js'
import {
  blobBytesSent,
  mountImages,
  program,
  registryfs,
  sha256Of,
  sha256sum,
} from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'
import { estargzOf, zstdChunkedOf } from '../support/toc-layers.js'
import { zstdFrame } from '../support/zstd-frames.js'

const options = { timeout: 120_000 }
const disk = sampleData('random', 13 << 20)
const more = sampleData('random', 3 << 20)
const tar = tarOf(file('disk', disk))
const layers = [gzipLayer(tarOf(file('more', more)), 1), gzipLayer(tar, 1)] as const
const blobBytes = layers.reduce((sum, { bytes }) => sum + bytes.length, 0)

interface Setup {
  readonly registry: FakeRegistry
  readonly cache: string
  readonly reference: string
}

async function setUp(t: TestContext, contents: readonly Layer[] = layers): Promise<Setup> {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: contents })
  const cache = join(await temporaryDirectory(t), 'cache')
  return { registry, cache, reference: `${registry.host}/disk:v1` }
}

/** Without a word on stderr. */
async function index({ cache, reference }: Setup, ...flags: string[]): Promise<void> {
  const { code, stderr, stdout } = await registryfs({ cache }, 'index', reference, ...flags)
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /disk:v1: \d layers?, /)
}

/** Indexed once; then its chunks are gone, and what was asked for until then is forgotten. */
async function indexedWithoutChunks(setup: Setup): Promise<void> {
  await index(setup)
  await rm(join(setup.cache, 'chunks'), { recursive: true })
  setup.registry.forgetRequests()
}

/** Of all layers, chunks whose number `isLost`. */
async function removeChunks(cache: string, isLost: (index: number) => boolean): Promise<void> {
  const chunks = join(cache, 'chunks/sha256')
  for (const name of await readdir(chunks, { recursive: true }))
    if (/\/\d+$/.test(name) && isLost(Number(name.split('/')[1]))) await rm(join(chunks, name))
}

async function checkWithoutRegistry(t: TestContext, setup: Setup, names: readonly string[]): Promise<void> {
  await setup.registry.stop()
  const mount = await mountImages(t, { cache: setup.cache, images: [`d=${setup.reference}`] })
  const contents: Readonly<Record<string, Buffer>> = { disk, more }
  for (const name of names)
    assert.equal(await sha256sum(join(mount.path, 'd', name)), sha256Of(contents[name] ?? Buffer.alloc(0)))
  assert.equal(await mount.stop(), 0)
}

test(
  'index fetches the chunks that the cache lacks, each byte once, and a mount needs no registry then',
  options,
  async (t) => {
    const setup = await setUp(t)
    const { registry, cache } = setup
    await index(setup)
    const whole = await cachedBytes(cache)
    registry.forgetRequests()
    await removeChunks(cache, (number) => number % 5 !== 1)
    const units = Math.ceil(((await cachedBytes(cache)) / (1 << 20)) * 0.99)
    assert.ok(units >= 3)
    await index(setup)
    assert.equal(await cachedBytes(cache), whole)
    assert.equal(blobBytesSent(registry), blobBytes - units * (1 << 20))
    registry.forgetRequests()
    await index(setup)
    assert.deepEqual(registry.trace, ['HEAD manifest 200'])
    await rm(join(cache, 'chunks'), { recursive: true })
    await index(setup)
    assert.equal(blobBytesSent(registry), blobBytes)
    assert.equal(await cachedBytes(cache), whole)
    await checkWithoutRegistry(t, setup, ['disk', 'more'])
  },
)

const type = 'application/vnd.oci.image.layer.v1.tar'
const diffId = diffIdOf(tar)
const forms: Readonly<Record<string, () => Promise<Layer>>> = {
  'one zstd frame': async () => Promise.resolve({ bytes: zstdFrame(tar), mediaType: `${type}+zstd`, diffId }),
  'no compression': async () => Promise.resolve(tarLayer(tar)),
  eStargz: async () => {
    const { blob, annotations } = await estargzOf(tar)
    return { bytes: blob, mediaType: `${type}+gzip`, annotations }
  },
  'zstd:chunked': async () => {
    const { blob, annotations } = await zstdChunkedOf(tar)
    return { bytes: blob, mediaType: `${type}+zstd`, annotations }
  },
}
for (const [form, make] of Object.entries(forms)) {
  test(`index fetches what the cache lacks of a layer in ${form}`, options, async (t) => {
    const layer = await make()
    const setup = await setUp(t, [layer])
    await index(setup)
    assert.ok((await cachedBytes(setup.cache)) >= layer.bytes.length)
    await rm(join(setup.cache, 'chunks'), { recursive: true })
    setup.registry.forgetRequests()
    await index(setup)
    assert.ok(blobBytesSent(setup.registry) >= layer.bytes.length)
    await checkWithoutRegistry(t, setup, ['disk'])
  })
}

test(
  'index ends where --cache-size has no room for more, says so, and fetches nothing in vain',
  options,
  async (t) => {
    const setup = await setUp(t)
    const { registry, cache, reference } = setup
    await indexedWithoutChunks(setup)
    for (const sent of [5 << 20, 0]) {
      registry.forgetRequests()
      const { code, stderr, stdout } = await registryfs({ cache }, 'index', reference, '--cache-size', '6M')
      assert.equal(code, 0)
      assert.match(stdout, /disk:v1: 2 layers, /)
      assert.match(
        stderr,
        /^registryfs: \S+disk:v1: [0-9.]+ MiB of its chunks are not kept: there is no room [^\n]*--cache-size\)\n$/,
      )
      const kept = await cachedBytes(cache)
      assert.ok(kept <= 6 << 20 && kept > 4 << 20, String(kept))
      assert.ok(blobBytesSent(registry) <= sent + (1 << 20), String(blobBytesSent(registry)))
      if (sent === 0) assert.deepEqual(registry.trace, ['HEAD manifest 200'])
    }
  },
)

test('what one index has fetched of an image is not thrown out for the next image', options, async (t) => {
  const { registry, cache, reference } = await setUp(t, [layers[0]])
  registry.addImage('other', 'v1', { layers: [layers[1]] })
  const other = `${registry.host}/other:v1`
  assert.equal((await registryfs({ cache }, 'index', reference, other)).stderr, '')
  await rm(join(cache, 'chunks'), { recursive: true })
  const { code, stderr } = await registryfs({ cache }, 'index', reference, other, '--cache-size', '8M')
  assert.equal(code, 0)
  assert.match(stderr, /^registryfs: \S+other:v1: [0-9.]+ MiB of its chunks are not kept: [^\n]+\n$/)
  registry.forgetRequests()
  assert.equal((await registryfs({ cache }, 'index', reference)).stderr, '')
  assert.equal(blobBytesSent(registry), 0)
})

test('chunks of an image that the first pass of the next one pushes out are told of', options, async (t) => {
  const { registry, cache, reference } = await setUp(t, [layers[0]])
  registry.addImage('other', 'v1', { layers: [layers[1]] })
  const other = `${registry.host}/other:v1`
  const { code, stderr } = await registryfs({ cache }, 'index', reference, other, '--cache-size', '8M')
  assert.equal(code, 0)
  const lines = stderr.split('\n')
  assert.match(lines[0] ?? '', /other:v1: [0-9.]+ MiB of its chunks are not kept: .*--cache-size/)
  assert.match(lines[1] ?? '', /disk:v1: [0-9.]+ MiB of its chunks are not kept: .*--cache-size/)
  assert.equal(lines.length, 3)
  // No chunk was fetched twice for that; the ends of the blobs are, for there may be tables of contents.
  assert.ok(blobBytesSent(registry) < blobBytes + 10_000, String(blobBytesSent(registry)))
})

test('index that cannot fetch the chunks fails with what is away', options, async (t) => {
  const setup = await setUp(t)
  await index(setup)
  await removeChunks(setup.cache, (number) => number === 2)
  await setup.registry.stop()
  const { code, stderr, stdout } = await registryfs({ cache: setup.cache }, 'index', setup.reference)
  assert.deepEqual([code, stdout], [5, ''])
  assert.match(
    stderr,
    /^registryfs: \S+disk:v1: using the tag as it was [^\n]+\nregistryfs: [^\n]*blobs[^\n]*\n$/,
  )
})

test(
  'an index that is interrupted while it fetches chunks ends with 130, without a word, and goes on the next time',
  options,
  async (t) => {
    const setup = await setUp(t)
    const { registry, cache, reference } = setup
    await indexedWithoutChunks(setup)
    registry.faults = { bytesPerSecond: 2_000_000 }
    const child = spawn(process.execPath, [program, 'index', reference, '--cache-dir', cache], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    t.after(() => child.kill('SIGKILL'))
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
    }
    while ((await cachedBytes(cache)) < 4 << 20) await sleep(20)
    child.kill('SIGINT')
    const [code] = (await once(child, 'close')) as [number]
    assert.deepEqual([code, said], [130, ''])
    registry.faults = {}
    registry.forgetRequests()
    const before = await cachedBytes(cache)
    await index(setup)
    assert.ok(blobBytesSent(registry) <= blobBytes - Math.floor((before / (1 << 20)) * 0.99) * (1 << 20))
    await checkWithoutRegistry(t, setup, ['disk', 'more'])
  },
)
