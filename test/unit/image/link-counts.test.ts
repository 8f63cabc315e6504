import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import { makeDamagedIndex } from '../../support/damaged-index.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { file, hardlink, tarOf, whiteout } from '../../support/tar-of.js'

async function find(view: MergedView, name: string): Promise<ImageNode> {
  const node = await view.root.lookup(Buffer.from(name))
  assert.ok(node, name)
  return node
}

test('names that come while a layer is read count, also of a file that was looked up before', async (t) => {
  const lower = tarOf(
    file('a', 'x'),
    hardlink('b', 'a'),
    file('big', sampleData('random', 20 << 20)),
    hardlink('c', 'a'),
    hardlink('hidden', 'a'),
  )
  const fixture = await layerFixture(t, lower, gzipSync(lower, { level: 1 }))
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  fixture.blob.before = async (offset) => (offset >= 8 << 20 ? gate : undefined)
  const layer = await fixture.open()
  const above = await (await layerFixture(t, tarOf(whiteout('hidden')))).open()
  const view = new MergedView([layer, above])
  const node = await find(view, 'b')
  assert.equal(await find(view, 'a'), node)
  assert.equal(node.attributes.linkCount, 2)
  assert.equal(layer.state, 'reading')
  letGo()
  await layer.ready()
  // Nobody has looked whether they are hidden.
  assert.equal(node.attributes.linkCount, 4)
  assert.equal(await find(view, 'c'), node)
  assert.equal(node.attributes.linkCount, 3)
})

test('names of layers above count also when a layer was read anew', async (t) => {
  const tar = tarOf(file('a', 'x'), file('text', sampleData('text', 6 << 20)))
  const fixture = await layerFixture(t, tar)
  await makeDamagedIndex(fixture)
  const layer = await fixture.open()
  const above = await (await layerFixture(t, tarOf(hardlink('c', 'a')))).open()
  const view = new MergedView([layer, above])
  const before = await find(view, 'a')
  assert.equal(before.attributes.linkCount, 2)
  await assert.rejects(layer.read(tar.length - 5000, 1000), { code: 'CORRUPT' })
  await layer.ready()
  const after = await find(view, 'a')
  assert.notEqual(after, before)
  assert.equal(after.attributes.linkCount, 2)
  assert.equal(await find(view, 'c'), after)
})
