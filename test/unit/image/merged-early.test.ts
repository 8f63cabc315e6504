import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import type { Layer } from '../../../src/layer/layer.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { dir, file, opaque, symlink, tarOf, whiteout, type TarPart } from '../../support/tar-of.js'

/** Nothing compressed: its headers are read one chunk after the other. */
const plain = { mediaType: 'application/vnd.oci.image.layer.v1.tar' }
const chunkBytes = 1 << 20

async function layerOf(t: TestContext, ...parts: readonly TarPart[]): Promise<Layer> {
  return (await layerFixture(t, tarOf(...parts))).open()
}

/** A layer of which `late` is not read before `letGo`. */
async function heldLayer(
  t: TestContext,
  early: readonly TarPart[],
  late: readonly TarPart[],
): Promise<{ layer: Layer; letGo: () => void }> {
  const tar = tarOf(...early, file('filler', Buffer.alloc(2 * chunkBytes)), ...late)
  const fixture = await layerFixture(t, tar, tar, plain)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  fixture.blob.before = async (offset) => (offset >= chunkBytes ? gate : undefined)
  return { layer: await fixture.open(), letGo }
}

async function find(view: MergedView, path: string): Promise<ImageNode | undefined> {
  let node: ImageNode | undefined = view.root
  for (const name of path.split('/')) node = await node?.lookup(Buffer.from(name))
  return node
}

async function namesIn(node: ImageNode | undefined): Promise<readonly string[]> {
  return ((await node?.entries()) ?? []).map(({ name }) => name.toString())
}

test('what a lower layer has under a name is its last, however early somebody asked', async (t) => {
  const base = await heldLayer(t, [dir('usr'), file('u', '')], [symlink('u', 'usr')])
  const view = new MergedView([base.layer, await layerOf(t, file('u/a', 'a'))])
  // Whether there is one depends on where members go.
  const early = find(view, 'none')
  await base.layer.until((tree) => tree.root.children?.get('u'))
  assert.equal(base.layer.state, 'reading')
  // Long enough for who believes it.
  await new Promise((resolve) => setTimeout(resolve, 20))
  base.letGo()
  assert.equal(await early, undefined)
  assert.deepEqual(await namesIn(view.root), ['filler', 'u', 'usr'])
  assert.equal((await find(view, 'u'))?.type, 'symlink')
  assert.deepEqual(await namesIn(await find(view, 'usr')), ['a'])
})

test('of a name that a tar has twice the first is there until the second has come', async (t) => {
  const top = await heldLayer(t, [file('a', '1')], [file('a', '22')])
  const view = new MergedView([await layerOf(t, file('a', 'lower')), top.layer])
  assert.equal((await find(view, 'a'))?.attributes.size, 1)
  top.letGo()
  await top.layer.ready()
  assert.equal((await find(view, 'a'))?.attributes.size, 2)
})

test('an opaque marker that comes late hides also what was found further down', async (t) => {
  const base = await layerOf(t, dir('a'), dir('a/b', { mode: 0o700 }), file('a/b/below', ''))
  for (const marker of [whiteout('a'), opaque('a')]) {
    const top = await heldLayer(t, [file('a/b/own', '')], [marker])
    const view = new MergedView([base, top.layer])
    const held = await find(view, 'a/b')
    assert.equal(top.layer.state, 'reading')
    assert.equal(held?.attributes.mode, 0o700)
    top.letGo()
    await top.layer.ready()
    assert.equal(await held.lookup(Buffer.from('below')), undefined)
    assert.equal(held.attributes.mode, 0o755)
    assert.deepEqual(await namesIn(held), ['own'])
    assert.deepEqual(await namesIn(await find(view, 'a/b')), ['own'])
  }
})

test('a directory goes on where a lower layer has put one in place of a file, and ends where it has put a file', async (t) => {
  const first = await heldLayer(t, [file('a', '')], [dir('a'), file('a/below', '')])
  const view = new MergedView([first.layer, await layerOf(t, dir('a'), file('a/own', ''))])
  const early = (await find(view, 'a'))?.lookup(Buffer.from('below'))
  await first.layer.until((tree) => tree.root.children?.get('a'))
  await new Promise((resolve) => setTimeout(resolve, 20))
  first.letGo()
  assert.equal((await early)?.type, 'file')
  assert.deepEqual(await namesIn(await find(view, 'a')), ['below', 'own'])

  const second = await heldLayer(t, [dir('a'), file('a/below', '')], [file('a', '')])
  const other = new MergedView([second.layer, await layerOf(t, dir('a'), file('a/own', ''))])
  assert.equal((await find(other, 'a/below'))?.type, 'file')
  const held = await find(other, 'a')
  second.letGo()
  await second.layer.ready()
  assert.equal(await held?.lookup(Buffer.from('below')), undefined)
  assert.deepEqual(await namesIn(held), ['own'])
})

test('a layer that an image has twice is one at each place', async (t) => {
  const base = await layerOf(t, dir('usr'), symlink('u', 'usr'))
  const twice = await layerOf(t, file('u/a', 'a'), file('b', 'b'))
  for (const layers of [
    [base, twice, twice],
    [base, twice, await layerOf(t, whiteout('usr/a')), twice],
  ]) {
    const view = new MergedView(layers)
    const b = await find(view, 'b')
    await view.root.entries()
    for (let time = 0; time < 2; time++) {
      const nodes = [b, await find(view, 'usr/a')]
      for (const node of nodes) assert.equal(node?.origin?.layerIndex, layers.length - 1)
      await view.below(layers.length - 1).root.lookup(Buffer.from('b'))
      assert.equal(await find(view, 'b'), b)
      assert.equal(await find(view, 'usr/a'), nodes[1])
    }
  }
})
