import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import { Demand } from '../../../src/layer/demand.js'
import type { Layer } from '../../../src/layer/layer.js'
import type { LayerOptions } from '../../../src/layer/layer-options.js'
import { PassTurns } from '../../../src/layer/pass-turns.js'
import type { RegistryFsError } from '../../../src/util/errors.js'
import { breakingOff } from '../../support/breaking-off.js'
import { makeDamagedIndex } from '../../support/damaged-index.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { dir, file, hardlink, symlink, tarOf } from '../../support/tar-of.js'

const disk = sampleData('random', 24 << 20)
const right = tarOf(file('first', sampleData('text', 5000)), file('disk', disk))
/** The same names and sizes, elsewhere. */
const wrong = tarOf(file('disk', disk), file('first', sampleData('text', 5000)))

interface Opened {
  readonly fixture: LayerFixture
  readonly layer: Layer
  readonly find: (name: string) => Promise<ImageNode>
}

async function open(t: TestContext, options: Partial<LayerOptions> = {}): Promise<Opened> {
  const fixture = await layerFixture(t, right, gzipSync(right, { level: 1 }))
  const layer = await fixture.open(options)
  const view = new MergedView([layer])
  const find = async (name: string): Promise<ImageNode> => {
    const node = await view.root.lookup(Buffer.from(name))
    assert.ok(node)
    return node
  }
  return { fixture, layer, find }
}

/** Who asks again is not told of the failure any more. */
const pauseMs = 2_100

test('of a tree that turned out wrong nothing is opened, and what was open is ESTALE, not other bytes', async (t) => {
  const { fixture, layer, find } = await open(t)
  fixture.blob.bytes = gzipSync(wrong, { level: 1 })
  const before = await find('disk')
  const opened = before.open()
  assert.ok((await opened.read(5000, 100)).equals(disk.subarray(5000, 5100)))
  await assert.rejects(layer.ready(), ({ code }: RegistryFsError) =>
    ['CORRUPT', 'DIGEST_MISMATCH'].includes(code),
  )
  assert.throws(() => before.open(), { code: 'GONE', layer: fixture.descriptor.digest })
  fixture.blob.bytes = gzipSync(right, { level: 1 })
  await sleep(pauseMs)
  const after = (await find('disk')).open()
  assert.ok((await after.read(5000, 100)).equals(disk.subarray(5000, 5100)))
  assert.throws(() => before.open(), { code: 'GONE' })
  assert.equal(opened.peek?.(5000, 100), undefined)
  await assert.rejects(opened.read(5000, 100), { code: 'GONE', layer: fixture.descriptor.digest })
  await assert.rejects(async () => opened.load?.(5000, 100), { code: 'GONE' })
  await assert.rejects(async () => opened.seek?.('hole', 0, 100), { code: 'GONE' })
})

test('what was open while a pass was broken off is read on with the next one, from the same member', async (t) => {
  const { fixture, layer, find } = await open(t)
  const breakOff = breakingOff(fixture)
  const opened = (await find('disk')).open()
  assert.ok((await opened.read(5000, 100)).equals(disk.subarray(5000, 5100)))
  breakOff()
  await assert.rejects(layer.ready(), { code: 'UNAVAILABLE' })
  fixture.blob.before = () => undefined
  await sleep(pauseMs)
  const end = disk.length - 100
  assert.ok((await opened.read(end, 200)).equals(disk.subarray(end)))
  assert.ok((await opened.read(5000, 100)).equals(disk.subarray(5000, 5100)))
  assert.ok(Buffer.concat(opened.peek?.(5000, 100) ?? []).equals(disk.subarray(5000, 5100)))
})

test('an index is taken once, whoever asks for it at the same time', async (t) => {
  const { fixture, layer: first } = await open(t)
  await first.ready()
  const layer = await fixture.open()
  const [, tree] = await Promise.all([layer.status(), layer.ready(), layer.status()])
  assert.equal(layer.tree, tree)
})

test('a directory whose first layer is read anew while it looks for the next one has both', async (t) => {
  const top = await layerFixture(t, tarOf(file('top', 'top'), file('text', sampleData('text', 6 << 20))))
  await makeDamagedIndex(top)
  const layer = await top.open()
  const passes = new PassTurns({ patienceMs: 1e9 })
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  for (const demand of [new Demand(0), new Demand(0)]) {
    demand.hold()
    void passes.run(demand, new MemoryCache(1 << 30), async () => gate)
  }
  const base = await (await layerFixture(t, tarOf(file('base', 'base')))).open({ passes })
  const { root } = new MergedView([base, layer])
  const before = root.lookup(Buffer.from('base'))
  const end = 512 + 512 + 512 + (6 << 20) - 5000
  await assert.rejects(layer.read(end, 1000), { code: 'CORRUPT' })
  const after = root.lookup(Buffer.from('top'))
  // Both wait for the base by then.
  await layer.ready()
  letGo()
  assert.equal((await after)?.attributes.size, 3)
  assert.equal((await before)?.attributes.size, 4)
  assert.deepEqual(
    (await root.entries()).map(({ name }) => name.toString()),
    ['base', 'text', 'top'],
  )
})

test('a file stays the same one when a lower symbolic link turns out to matter, with the links that it has then', async (t) => {
  const lower = await layerFixture(t, tarOf(dir('usr'), file('usr/below', ''), symlink('u', 'usr')))
  const upper = await layerFixture(
    t,
    tarOf(dir('usr'), file('usr/a', 'a'), file('u/b', 'b'), hardlink('u/c', 'usr/a')),
  )
  const view = new MergedView([await lower.open(), await upper.open()])
  const find = async (...path: readonly string[]): Promise<ImageNode | undefined> => {
    let node: ImageNode | undefined = view.root
    for (const name of path) node = await node?.lookup(Buffer.from(name))
    return node
  }
  const before = await find('usr', 'a')
  assert.equal(lower.blob.ranges.length, 0)
  const number = before?.number
  assert.ok(number)
  // For that all layers are read.
  assert.equal((await find('u'))?.attributes.type, 'symlink')
  const names = (await (await find('usr'))?.entries())?.map(({ name }) => name.toString())
  assert.deepEqual(names, ['a', 'b', 'below', 'c'])
  const after = await find('usr', 'a')
  assert.equal(after, before)
  assert.equal(after.number?.files, number.files)
  assert.equal(after.number.index, number.index)
  assert.equal(await find('usr', 'c'), after)
  assert.equal(after.attributes.linkCount, 2)
  assert.equal((await after.open().read(0, 10)).toString(), 'a')
})
