import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import type { Layer } from '../../../src/layer/layer.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { layersOf, randomImage } from '../../support/random-image.js'
import { dir, file, hardlink, tarOf, whiteout, type TarPart } from '../../support/tar-of.js'

/** Base first. */
async function layersFrom(
  t: TestContext,
  ...layers: readonly (readonly TarPart[])[]
): Promise<readonly Layer[]> {
  const fixtures = await Promise.all(layers.map(async (parts) => layerFixture(t, tarOf(...parts))))
  return Promise.all(fixtures.map(async (fixture) => fixture.open()))
}

/** All nodes by their paths, one name after the other waited for. */
async function walk(directory: ImageNode, prefix = ''): Promise<Map<string, ImageNode>> {
  const found = new Map<string, ImageNode>()
  for await (const { name } of directory.watch()) {
    const node = await directory.lookup(name)
    assert.ok(node !== undefined)
    const path = `${prefix}/${name.toString('latin1')}`
    found.set(path, node)
    if (node.type === 'directory') for (const [below, one] of await walk(node, path)) found.set(below, one)
  }
  return found
}

/** The same from listings that nothing was waited for, as far as they give any; counts those. */
function peekAll(directory: ImageNode, prefix = ''): { nodes: Map<string, ImageNode>; listings: number } {
  const entries = directory.peekEntries?.()
  const nodes = new Map<string, ImageNode>()
  let listings = entries === undefined ? 0 : 1
  for (const { name, type, number, node } of entries ?? []) {
    const path = `${prefix}/${name.toString('latin1')}`
    nodes.set(path, node)
    assert.equal(node.type, type)
    if (number !== undefined) {
      assert.deepEqual(number.files.attributesAt(number.index), node.attributes, path)
      assert.equal(number.files.nodeAt(number.index), node)
      assert.equal(number.files.isBareAt(number.index), node.isBare, path)
      assert.deepEqual(node.number && { ...node.number }, { files: number.files, index: number.index })
    }
    assert.equal(directory.peek?.(name), node, path)
    if (type !== 'directory') continue
    const below = peekAll(node, path)
    listings += below.listings
    for (const [each, one] of below.nodes) nodes.set(each, one)
  }
  return { nodes, listings }
}

test('what is known without a wait is what waiting gives', async (t) => {
  let listings = 0
  await fc.assert(
    fc.asyncProperty(randomImage, async (steps) => {
      const layers = await layersFrom(t, ...layersOf(steps))
      assert.equal(new MergedView(layers).root.peekEntries(), undefined, 'nothing was read yet')
      // Where all members go is known first: before, a name is believed that a lower symbolic link leads away.
      const settled = async (): Promise<MergedView> => {
        const view = new MergedView(layers)
        await Promise.all(layers.map(async (_, index) => view.settledTree(index)))
        return view
      }
      const asked = await settled()
      const waited = await walk(asked.root)
      for (const one of [asked, await settled()]) {
        const peeked = peekAll(one.root)
        listings += peeked.listings
        for (const [path, node] of peeked.nodes)
          assert.deepEqual(node.attributes, waited.get(path)?.attributes, path)
        if (one.root.peekEntries() === undefined) continue
        const top: string[] = [...waited.keys()].filter((path) => !path.includes('/', 1))
        assert.deepEqual([...peeked.nodes.keys()].filter((path) => !path.includes('/', 1)).sort(), top.sort())
      }
    }),
    { numRuns: 25, seed: 1 },
  )
  assert.ok(listings > 20, `${String(listings)} listings`)
})

test('a listing of one layer, or of several without hard links between them, takes no wait once they were read', async (t) => {
  const base = [dir('etc'), file('etc/a', '1'), file('etc/b', '22'), file('etc/c', '')]
  for (const above of [[], [[dir('etc'), whiteout('etc/a'), file('etc/b', 'new'), file('etc/x', '')]]]) {
    const view = new MergedView(await layersFrom(t, base, ...above))
    const root = view.root
    assert.equal(root.peekEntries(), undefined)
    assert.equal(root.peek(Buffer.from('etc')), undefined)
    await root.entries()
    if (above.length > 0) await (await root.lookup(Buffer.from('etc')))?.entries()
    const etc = root.peek(Buffer.from('etc'))
    const names = etc?.peekEntries?.()?.map(({ name, number }) => [name.toString(), number !== undefined])
    const expected = above.length === 0 ? ['a', 'b', 'c'] : ['b', 'c', 'x']
    assert.deepEqual(
      names,
      expected.map((name) => [name, true]),
    )
    assert.equal(root.peek(Buffer.from('none')), undefined)
  }
})

test('a file that a layer above links to has its links counted in a listing', async (t) => {
  const layers = await layersFrom(t, [file('a', 'x'), file('b', 'y')], [hardlink('c', 'a')])
  const counts = async (view: MergedView): Promise<unknown[]> =>
    (await view.root.entries()).map(({ name, node }) => [name.toString(), node.attributes.linkCount])
  const view = new MergedView(layers)
  const expected = [
    ['a', 2],
    ['b', 1],
    ['c', 2],
  ]
  assert.deepEqual(await counts(view), expected)
  assert.deepEqual(await counts(view), expected)
})
