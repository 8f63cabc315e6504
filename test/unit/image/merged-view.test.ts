import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { dir, file, hardlink, opaque, symlink, tarOf, whiteout } from '../../support/tar-of.js'

interface Merged {
  readonly view: MergedView
  readonly fixtures: readonly LayerFixture[]
}

/** Base first, as in a manifest. */
async function merge(t: TestContext, ...tars: readonly Buffer[]): Promise<Merged> {
  const fixtures = await Promise.all(tars.map(async (tar) => layerFixture(t, tar)))
  const layers = await Promise.all(fixtures.map(async (fixture) => fixture.open()))
  return { view: new MergedView(layers), fixtures }
}

async function find(view: MergedView, path: string): Promise<ImageNode | undefined> {
  let node: ImageNode | undefined = view.root
  for (const name of path.split('/')) node = await node?.lookup(Buffer.from(name))
  return node
}

async function contentOf(view: MergedView, path: string): Promise<string | undefined> {
  const node = await find(view, path)
  if (node === undefined) return undefined
  const source = node.open()
  return (await source.read(0, source.size)).toString()
}

async function namesIn(view: MergedView, path = ''): Promise<readonly string[]> {
  const node = path === '' ? view.root : await find(view, path)
  return (await (node?.entries() ?? Promise.resolve([]))).map((entry) => entry.name.toString())
}

test('the top-most layer wins, and directories of several layers are one', async (t) => {
  const { view } = await merge(
    t,
    tarOf(dir('etc'), file('etc/a', 'old'), file('etc/b', 'base')),
    tarOf(dir('etc'), file('etc/a', 'new'), file('etc/c', 'top')),
  )
  assert.deepEqual(await namesIn(view, 'etc'), ['a', 'b', 'c'])
  assert.equal(await contentOf(view, 'etc/a'), 'new')
  assert.equal(await contentOf(view, 'etc/b'), 'base')
  assert.equal(await contentOf(view, 'etc/c'), 'top')
})

test('a whiteout hides what is below it, not what is beside it', async (t) => {
  const { view } = await merge(
    t,
    tarOf(dir('d'), file('d/x', '1'), file('d/y', '2'), dir('gone'), file('gone/z', '3')),
    tarOf(whiteout('d/x'), whiteout('gone'), file('d/new', '4')),
    tarOf(file('d/x', 'again')),
  )
  assert.deepEqual(await namesIn(view), ['d'])
  assert.deepEqual(await namesIn(view, 'd'), ['new', 'x', 'y'])
  assert.equal(await contentOf(view, 'd/x'), 'again')
  assert.equal(await find(view, 'gone'), undefined)
})

test('an opaque directory hides all children below, wherever its marker stands', async (t) => {
  const lower = tarOf(dir('d'), file('d/old', '1'), dir('d/sub'), file('d/sub/deep', '2'))
  for (const upper of [
    tarOf(dir('d'), opaque('d'), file('d/new', '3')),
    tarOf(dir('d'), file('d/new', '3'), opaque('d')),
  ]) {
    const { view } = await merge(t, lower, upper)
    assert.deepEqual(await namesIn(view, 'd'), ['new'])
    assert.equal(await find(view, 'd/sub'), undefined)
  }
})

test('a file over a directory drops what was in it, and a directory over a file begins empty', async (t) => {
  const { view } = await merge(
    t,
    tarOf(dir('a'), file('a/child', '1'), file('b', 'file')),
    tarOf(file('a', 'now a file'), dir('b'), file('b/child', '2')),
  )
  assert.equal(await contentOf(view, 'a'), 'now a file')
  assert.deepEqual(await namesIn(view, 'b'), ['child'])
  const { view: back } = await merge(
    t,
    tarOf(dir('a'), file('a/first', '1')),
    tarOf(file('a', 'file')),
    tarOf(dir('a'), file('a/last', '2')),
  )
  assert.deepEqual(await namesIn(back, 'a'), ['last'])
})

test('a directory has the attributes of the top-most layer that names it', async (t) => {
  const { view } = await merge(
    t,
    tarOf(dir('d', { mode: 0o700, uid: 5 }), file('d/a', '')),
    tarOf(dir('d', { mode: 0o750, uid: 6 })),
    tarOf(file('d/implied', '')),
  )
  const attributes = (await find(view, 'd'))?.attributes
  assert.equal(attributes?.mode, 0o750)
  assert.equal(attributes.uid, 6)
})

test('a hard link to a lower layer keeps what it linked, also when the name is replaced above', async (t) => {
  const { view } = await merge(
    t,
    tarOf(file('target', 'old'), symlink('soft', 'target')),
    tarOf(hardlink('link', 'target'), hardlink('soft-link', 'soft')),
    tarOf(file('target', 'new')),
  )
  assert.equal(await contentOf(view, 'link'), 'old')
  assert.equal(await contentOf(view, 'target'), 'new')
  assert.equal((await find(view, 'soft-link'))?.attributes.type, 'symlink')
})

test('a hard link that leads nowhere is an error that says so, and no more than that', async (t) => {
  const { view } = await merge(t, tarOf(file('a', '1')), tarOf(hardlink('broken', 'no/such'), file('b', '2')))
  await assert.rejects(find(view, 'broken'), { code: 'CORRUPT', message: /hard link.*no\/such/ })
  assert.equal(await contentOf(view, 'b'), '2')
})

test('hard links in a layer are one node with their number', async (t) => {
  const { view } = await merge(t, tarOf(file('a', 'same'), hardlink('b', 'a'), hardlink('c', 'b')))
  const [a, c] = await Promise.all([find(view, 'a'), find(view, 'c')])
  assert.equal(a, c)
  assert.equal(a?.attributes.linkCount, 3)
  assert.equal(await find(view, 'a'), a)
})

test('a name that the top-most layer has is found without reading the layers below', async (t) => {
  const { view, fixtures } = await merge(
    t,
    tarOf(dir('d'), file('d/x', '1')),
    tarOf(dir('d'), file('d/x', '2')),
  )
  assert.equal(await contentOf(view, 'd/x'), '2')
  assert.equal(fixtures[0]?.blob.ranges.length, 0)
  assert.deepEqual(await namesIn(view, 'd'), ['x'])
  assert.equal(fixtures[0].blob.ranges.length, 1)
})

test('watching a directory gives its entries once, the top-most first', async (t) => {
  const { view } = await merge(
    t,
    tarOf(file('z', ''), file('a', 'base'), file('hidden', '')),
    tarOf(file('y', ''), file('a', 'top'), whiteout('hidden')),
  )
  const seen: string[] = []
  for await (const { name } of view.root.watch()) seen.push(name.toString())
  assert.deepEqual(seen, ['y', 'a', 'z'])
})

test('an image without layers is an empty directory', async (t) => {
  const { view } = await merge(t)
  assert.deepEqual(await namesIn(view), [])
  assert.equal(view.root.attributes.type, 'directory')
  assert.equal(view.root.attributes.mode, 0o755)
})

test('names are bytes: what is no UTF-8 is found by its bytes', async (t) => {
  const name = Buffer.from([0x68, 0x69, 0x80, 0xff])
  const { view } = await merge(t, tarOf(file(name, 'bytes')))
  const node = await view.root.lookup(name)
  assert.equal(node?.attributes.size, 5)
  assert.deepEqual((await view.root.entries())[0]?.name, name)
})

test('a hard link to a lower layer is one node with its target, also behind a symbolic link', async (t) => {
  const { view } = await merge(
    t,
    tarOf(dir('usr'), dir('usr/lib'), file('usr/lib/a', 'a'), symlink('lib', 'usr/lib')),
    tarOf(hardlink('link', 'usr/lib/a'), hardlink('other', 'lib/a')),
  )
  const target = await find(view, 'usr/lib/a')
  assert.equal(await find(view, 'link'), target)
  assert.equal(await find(view, 'other'), target)
})

test('members whose directory a layer does not name go where a symbolic link below leads', async (t) => {
  const { view } = await merge(
    t,
    tarOf(
      dir('usr'),
      dir('usr/lib', { mode: 0o711 }),
      file('usr/lib/a', 'a'),
      file('usr/lib/gone', ''),
      symlink('lib', 'usr/lib'),
    ),
    tarOf(file('lib/b', 'b'), whiteout('lib/gone'), file('lib/sub/deep', 'deep')),
    tarOf(file('usr/lib/c', 'c'), file('lib/b', 'top')),
  )
  assert.equal((await find(view, 'lib'))?.attributes.type, 'symlink')
  assert.deepEqual(await namesIn(view), ['lib', 'usr'])
  assert.deepEqual(await namesIn(view, 'usr/lib'), ['a', 'b', 'c', 'sub'])
  assert.equal(await contentOf(view, 'usr/lib/b'), 'top')
  assert.equal(await contentOf(view, 'usr/lib/sub/deep'), 'deep')
  assert.equal(await find(view, 'usr/lib/gone'), undefined)
  assert.equal((await find(view, 'usr/lib'))?.attributes.mode, 0o711)
})

test('a directory that a layer names replaces a symbolic link below', async (t) => {
  const { view } = await merge(
    t,
    tarOf(dir('usr'), dir('usr/lib'), file('usr/lib/a', 'a'), symlink('lib', 'usr/lib')),
    tarOf(dir('lib'), file('lib/b', 'b')),
  )
  assert.deepEqual(await namesIn(view, 'lib'), ['b'])
  assert.deepEqual(await namesIn(view, 'usr/lib'), ['a'])
})
