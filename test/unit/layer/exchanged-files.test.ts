import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { ResidentSpans } from '../../../src/blob/resident-spans.js'
import type { Layer } from '../../../src/layer/layer.js'
import { Layers } from '../../../src/layer/layers.js'
import { digestHex } from '../../../src/util/digest.js'
import { silentLogger } from '../../../src/util/log.js'
import { noDiskChunks } from '../../support/disk-chunks.js'
import { FakeResidentTable } from '../../support/fake-resident-table.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { MemoryBlob } from '../../support/memory-blob.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'

const disk = sampleData('random', 24 << 20)
const right = tarOf(file('first', sampleData('text', 5000)), file('disk', disk))
/** The same names and sizes, elsewhere. */
const wrong = tarOf(file('disk', disk), file('first', sampleData('text', 5000)))
const origin = { host: 'oci:', repository: '/images', image: '/images@1' }
const compressed = gzipSync(right, { level: 1 })

/** A file that turns out to be another one, as LocalBlob says it. */
class LocalFile extends MemoryBlob {
  readonly isLocal = true
  isGone = false
}

/** Two layers of one digest: `first` is half read, from a file that is not what its manifest says; then comes the right one. */
async function setUp(t: TestContext) {
  const fixture = await layerFixture(t, right, compressed)
  await (await fixture.open()).ready()
  const { descriptor, directory, diffId } = fixture
  const paths = join(directory, 'of-layers', 'sha256')
  await mkdir(paths, { recursive: true })
  const path = join(paths, digestHex(descriptor.digest))
  const table = new FakeResidentTable()
  const disk = noDiskChunks(join(directory, 'none'))
  const layers = new Layers({
    cache: new ChunkCache(new MemoryCache(128 << 20, new ResidentSpans(table)), disk),
    indexDirectory: join(directory, 'of-layers'),
    readOnly: false,
    zlib: false,
    readDeadlineMs: 10_000,
    log: silentLogger,
  })
  t.after(async () => layers.close())
  const get = (blob: LocalFile): Layer =>
    layers.get(
      descriptor,
      origin,
      () => blob,
      async () => Promise.resolve(diffId),
    )
  const file = new LocalFile(gzipSync(wrong, { level: 1 }))
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  file.before = async (offset) => (offset > 8 << 20 ? gate : undefined)
  t.after(() => {
    letGo()
  })
  const first = get(file)
  const exchange = (): Layer => {
    file.isGone = true
    return get(new LocalFile(compressed))
  }
  const readFirst = async (): Promise<void> => {
    assert.ok((await first.read(0, 6 << 20)).equals(wrong.subarray(0, 6 << 20)))
  }
  const check = async (layer: Layer, offset: number): Promise<void> => {
    assert.ok(
      (await layer.read(offset, 1 << 20)).equals(right.subarray(offset, offset + (1 << 20))),
      String(offset),
    )
    for (const [at, bytes] of table.shown(layer.placed?.space ?? -1))
      assert.ok(bytes.equals(right.subarray(at, at + bytes.length)), `shown at ${String(at)}`)
  }
  const saveIndex = async (): Promise<void> =>
    writeFile(`${path}.idx`, await readFile(join(directory, 'indexes', 'layer.idx')))
  return { journal: `${path}.journal`, table, layers, first, readFirst, exchange, check, saveIndex }
}

const places = Array.from({ length: right.length >> 20 }, (_, mebibyte) => mebibyte << 20)

test('of a file that was exchanged in the middle of its pass nothing is shown by the one in its place', async (t) => {
  const { first, readFirst, exchange, check, table, layers } = await setUp(t)
  await readFirst()
  const [before] = [first.placed?.space ?? -1]
  assert.ok(table.shown(before).length > 0)
  const second = exchange()
  assert.ok(layers.isGone(first, origin) && !layers.isGone(second, origin))
  assert.notEqual(second.placed?.space, before)
  for (const offset of places) await check(second, offset)
  assert.equal(first.state, 'failed')
  assert.deepEqual(table.shown(before), [])
  // What is still made for it is of no use.
  assert.ok(table.renewed.includes(before))
  await assert.rejects(first.read(0, 1000), { code: 'ABORTED' })
})

test('who takes its place waits until that pass has ended, also where an index makes it ready at once', async (t) => {
  const { journal, first, readFirst, exchange, check, saveIndex } = await setUp(t)
  // Whoever opens it waits until it is opened at the other end.
  execFileSync('mkfifo', [journal])
  const reading = readFirst()
  await writeFile(journal, '')
  await reading
  await saveIndex()
  const second = exchange()
  const status = second.status()
  const reads = Promise.allSettled(places.map(async (offset) => check(second, offset)))
  try {
    await Promise.race([reads, sleep(300)])
    assert.equal(first.state, 'reading')
    assert.equal(second.state, 'unread')
  } finally {
    await readFile(journal)
  }
  assert.equal((await status).state, 'ready')
  assert.deepEqual(
    (await reads).filter((one) => one.status === 'rejected'),
    [],
  )
})
