import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { dir, file, hardlink, opaque, symlink, tarOf, whiteout, type TarPart } from '../../support/tar-of.js'

/** Base first, as in a manifest. */
async function merge(t: TestContext, ...tars: readonly Buffer[]): Promise<MergedView> {
  const fixtures = await Promise.all(tars.map(async (tar) => layerFixture(t, tar)))
  return new MergedView(await Promise.all(fixtures.map(async (fixture) => fixture.open())))
}

async function find(view: MergedView, path: string): Promise<ImageNode | undefined> {
  let node: ImageNode | undefined = view.root
  for (const name of path.split('/')) node = await node?.lookup(Buffer.from(name))
  return node
}

async function contentOf(view: MergedView, path: string): Promise<string | undefined> {
  const source = (await find(view, path))?.open()
  return source === undefined ? undefined : (await source.read(0, source.size)).toString()
}

test('a directory that only an opaque marker implies keeps the attributes from below', async (t) => {
  const base = tarOf(dir('d', { mode: 0o2750, uid: 7, mtime: 1_600_000_000 }), file('d/old', ''))
  const view = await merge(t, base, tarOf(opaque('d'), file('d/new', '')))
  const attributes = (await find(view, 'd'))?.attributes
  assert.equal(attributes?.mode, 0o2750)
  assert.equal(attributes.uid, 7)
  assert.equal(attributes.mtimeSeconds, 1_600_000_000)
  assert.equal(await find(view, 'd/old'), undefined)
  const replaced = await merge(t, base, tarOf(whiteout('d'), file('d/new', '')))
  assert.equal((await find(replaced, 'd'))?.attributes.mode, 0o755)
})

test('members behind a lower symbolic link to the root are found there', async (t) => {
  const view = await merge(
    t,
    tarOf(symlink('host', '/'), file('gone', '')),
    tarOf(file('host/new', 'new'), whiteout('host/gone'), file('host/host/twice', 'twice')),
  )
  assert.equal(await contentOf(view, 'new'), 'new')
  assert.equal(await contentOf(view, 'twice'), 'twice')
  assert.equal(await find(view, 'gone'), undefined)
  assert.equal((await find(view, 'host'))?.attributes.type, 'symlink')
})

test('of one file that a layer has by its name and behind a lower symbolic link the last counts', async (t) => {
  const base = tarOf(dir('usr'), file('usr/a', 'base'), symlink('u', 'usr'))
  const last = await merge(t, base, tarOf(file('usr/a', '1'), file('u/a', '2')))
  await last.root.entries()
  assert.equal(await contentOf(last, 'usr/a'), '2')
  const first = await merge(t, base, tarOf(file('u/a', '1'), file('usr/a', '2')))
  assert.equal(await contentOf(first, 'usr/a'), '2')
})

test('of one file that a layer has under two names the last counts at once where the layers were read before', async (t) => {
  const fixtures = [
    await layerFixture(t, tarOf(dir('usr'), file('usr/a', 'base'), symlink('u', 'usr'))),
    await layerFixture(t, tarOf(file('usr/a', '1'), file('u/a', '2'))),
  ]
  const open = async (): Promise<MergedView> =>
    new MergedView(await Promise.all(fixtures.map(async (fixture) => fixture.open())))
  await (await open()).root.entries()
  assert.equal(await contentOf(await open(), 'usr/a'), '2')
})

test('a directory that is named after its members does not take them from behind a symbolic link', async (t) => {
  const view = await merge(
    t,
    tarOf(dir('usr'), symlink('u', 'usr')),
    tarOf(file('u/a', 'a'), dir('u'), file('u/b', 'b')),
  )
  await view.root.entries()
  assert.equal(await contentOf(view, 'usr/a'), 'a')
  assert.equal(await contentOf(view, 'u/b'), 'b')
  assert.equal(await find(view, 'u/a'), undefined)
})

test('a hard link means what is there when it comes, also where its target is replaced later', async (t) => {
  const view = await merge(
    t,
    tarOf(file('below', 'below')),
    tarOf(
      file('own', 'first'),
      hardlink('to-own', 'own'),
      file('own', 'second'),
      hardlink('to-below', 'below'),
      file('below', 'above'),
    ),
  )
  assert.equal(await contentOf(view, 'to-own'), 'first')
  assert.equal(await contentOf(view, 'own'), 'second')
  assert.equal(await contentOf(view, 'to-below'), 'below')
  assert.equal(await contentOf(view, 'below'), 'above')
  assert.equal((await find(view, 'to-below'))?.attributes.linkCount, 1)
})

test('a hard link to a link is one to the same file, whatever that name becomes later', async (t) => {
  const base = tarOf(file('below', 'below'), dir('usr'), symlink('u', 'usr'), dir('d'))
  const becomes = async (way: string, ...later: readonly TarPart[]): Promise<MergedView> => {
    const view = await merge(
      t,
      base,
      tarOf(hardlink('usr/first', 'below'), hardlink('second', `${way}/first`), ...later),
    )
    await view.root.entries()
    const second = await find(view, 'second')
    assert.equal(await contentOf(view, 'second'), 'below')
    assert.equal(second, await find(view, 'below'))
    assert.equal(second?.attributes.linkCount, 2)
    return view
  }
  for (const way of ['usr', 'u']) {
    for (const place of ['usr', 'u']) {
      const replaced = await becomes(way, file(`${place}/first`, 'above'))
      assert.equal(await contentOf(replaced, 'usr/first'), 'above')
      const directory = await becomes(way, file(`${place}/first/in`, 'above'))
      assert.equal(await contentOf(directory, 'usr/first/in'), 'above')
    }
    const link = await becomes(way, file('above', ''), hardlink('usr/first', 'above'))
    assert.equal(await find(link, 'usr/first'), await find(link, 'above'))
    const gone = await becomes(way, file('usr', 'above'))
    assert.equal(await contentOf(gone, 'usr'), 'above')
  }
})

test('a hard link by way of another one to a lower file is found before anything was listed', async (t) => {
  const base = tarOf(symlink('below', 'nowhere'), dir('b'))
  const above = tarOf(hardlink('b', 'below'), dir('below'), hardlink('below', 'b'), dir('c'))
  for (const name of ['b', 'below']) {
    const view = await merge(t, base, tarOf(dir('b')), above)
    assert.equal((await find(view, name))?.linkName.toString(), 'nowhere', name)
  }
  const view = await merge(t, base, tarOf(dir('b')), above)
  const names: string[] = []
  for await (const { name, type } of view.root.watch()) names.push(`${name.toString()} ${type}`)
  assert.deepEqual(names, ['c directory', 'b symlink', 'below symlink'])
})

test('hard links of a layer in a circle over a lower file are that file', async (t) => {
  const view = await merge(
    t,
    tarOf(file('a', 'below')),
    tarOf(hardlink('b', 'a'), hardlink('a', 'b'), hardlink('b', 'b')),
  )
  assert.equal(await contentOf(view, 'a'), 'below')
  assert.equal(await find(view, 'a'), await find(view, 'b'))
  assert.equal((await find(view, 'a'))?.attributes.linkCount, 2)
})

test('a hard link leads to what its own layer has placed behind a lower symbolic link', async (t) => {
  const view = await merge(
    t,
    tarOf(dir('usr'), symlink('u', 'usr')),
    tarOf(
      file('u/a', 'a'),
      hardlink('by-link', 'u/a'),
      hardlink('by-name', 'usr/a'),
      hardlink('u/other', 'u/a'),
    ),
  )
  await view.root.entries()
  const target = await find(view, 'usr/a')
  assert.equal(target?.attributes.linkCount, 4)
  for (const path of ['by-link', 'by-name', 'usr/other']) assert.equal(await find(view, path), target)
})

test('links are counted over all layers, without names that are hidden', async (t) => {
  const view = await merge(
    t,
    tarOf(file('a', ''), hardlink('b', 'a'), file('single', '')),
    tarOf(hardlink('c', 'b'), hardlink('d', 'c'), hardlink('second', 'single')),
    tarOf(whiteout('a'), file('d', 'something else')),
  )
  assert.equal((await find(view, 'b'))?.attributes.linkCount, 2)
  assert.equal(await find(view, 'c'), await find(view, 'b'))
  assert.equal((await find(view, 'single'))?.attributes.linkCount, 2)
  assert.equal((await find(view, 'd'))?.attributes.linkCount, 1)
})

test('a directory that only markers imply is there where the layers below have it', async (t) => {
  const markers = tarOf(
    whiteout('new/er/x'),
    opaque('neu'),
    whiteout('file/x'),
    whiteout('d/x'),
    whiteout('own/x'),
    file('own/y', 'own'),
    whiteout('own/y/z'),
  )
  const base = tarOf(file('file', 'file'), dir('d', { mode: 0o711 }), file('d/x', ''), file('d/y', ''))
  for (const layers of [
    [base, markers],
    [base, markers, tarOf(whiteout('new/x'))],
  ]) {
    const view = await merge(t, ...layers)
    for (const path of ['new', 'neu', 'd/x']) assert.equal(await find(view, path), undefined, path)
    assert.equal(await contentOf(view, 'file'), 'file')
    assert.equal(await contentOf(view, 'own/y'), 'own')
    assert.equal((await find(view, 'd'))?.attributes.mode, 0o711)
    const names = (await view.root.entries()).map(({ name }) => name.toString())
    assert.deepEqual(names, ['d', 'file', 'own'])
    const watched: string[] = []
    for await (const { name } of view.root.watch()) watched.push(name.toString())
    assert.deepEqual(watched.sort(), names)
  }
})

test('a directory that markers imply and its layer names then is there without the layers below', async (t) => {
  const base = await layerFixture(t, tarOf(file('other', '')))
  const top = await layerFixture(t, tarOf(whiteout('d/x'), dir('d'), file('d/y', 'y')))
  const layers = [await base.open(), await top.open()]
  assert.equal(await contentOf(new MergedView(layers), 'd/y'), 'y')
  assert.equal(base.blob.ranges.length, 0)
})

test('members behind a hard link to a lower symbolic link go where that leads', async (t) => {
  const base = tarOf(dir('usr'), file('usr/old', ''), dir('usr/sub'), symlink('s', 'usr'))
  const upper = tarOf(
    hardlink('t', 's'),
    hardlink('u', 't'),
    file('t/x', 'x'),
    file('u/sub/y', 'y'),
    hardlink('z', 't/x'),
    whiteout('t/old'),
  )
  const view = await merge(t, base, upper)
  for (const name of ['t', 'u']) {
    const node = await find(view, name)
    assert.equal(node, await find(view, 's'))
    assert.equal(node?.attributes.type, 'symlink')
    assert.equal(node.attributes.linkCount, 3)
  }
  assert.equal(await contentOf(view, 'usr/x'), 'x')
  assert.equal(await contentOf(view, 'usr/sub/y'), 'y')
  assert.equal(await find(view, 'z'), await find(view, 'usr/x'))
  assert.equal(await find(view, 'usr/old'), undefined)
  const third = await merge(t, base, tarOf(hardlink('t', 's')), tarOf(hardlink('v', 't'), file('v/x', 'x')))
  assert.equal(await contentOf(third, 'usr/x'), 'x')
  assert.equal((await find(third, 'v'))?.attributes.linkCount, 3)
})

test('a hard link leads back into its own layer through lower directories that it does not have', async (t) => {
  const base = tarOf(dir('d'), symlink('d/link', '/a'), dir('a'), file('a/c', 'lower'))
  const view = await merge(t, base, tarOf(file('a/c', 'own'), hardlink('a/again', 'd/link/c')))
  assert.equal(await contentOf(view, 'a/again'), 'own')
  assert.equal(await find(view, 'a/again'), await find(view, 'a/c'))
})

test('what only markers imply vanishes with a whiteout', async (t) => {
  const view = await merge(
    t,
    tarOf(dir('d'), dir('d/sub'), file('d/sub/x', ''), dir('o'), dir('o/sub')),
    tarOf(whiteout('d/sub/x'), whiteout('d/sub'), whiteout('o/sub/y'), opaque('o')),
  )
  assert.equal(await find(view, 'd/sub'), undefined)
  assert.equal(await find(view, 'o/sub'), undefined)
  assert.equal((await find(view, 'd'))?.attributes.type, 'directory')
})

test('an opaque marker that comes after the first lookup hides what is below all the same', async (t) => {
  const layers = [
    tarOf(dir('d'), file('d/old', ''), file('root', '')),
    tarOf(opaque('')),
    tarOf(file('b', '')),
  ]
  for (const first of ['lookup', 'watch'] as const) {
    const view = await merge(t, ...layers)
    if (first === 'lookup') assert.equal(await find(view, 'root'), undefined)
    const watched: string[] = []
    for await (const { name } of view.root.watch()) watched.push(name.toString())
    assert.deepEqual(watched, ['b'])
    assert.deepEqual(
      (await view.root.entries()).map(({ name }) => name.toString()),
      ['b'],
    )
    assert.equal(await find(view, 'root'), undefined)
    assert.equal(await find(view, 'd/old'), undefined)
  }
})
