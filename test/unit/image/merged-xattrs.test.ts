import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { layersOf, randomImage } from '../../support/random-image.js'
import { dir, file, hardlink, symlink, tarOf, whiteout, type TarPart } from '../../support/tar-of.js'

const capability = { xattrs: { 'security.capability': 'may' } }

/** The root of an image of these layers, base first. */
async function rootOf(t: TestContext, ...layers: readonly (readonly TarPart[])[]): Promise<ImageNode> {
  const fixtures = await Promise.all(layers.map(async (parts) => layerFixture(t, tarOf(...parts))))
  return new MergedView(await Promise.all(fixtures.map(async (fixture) => fixture.open()))).root
}

async function find(root: ImageNode, path: string): Promise<ImageNode> {
  let node = root
  for (const name of path.split('/')) {
    const found = await node.lookup(Buffer.from(name))
    assert.ok(found !== undefined, path)
    node = found
  }
  return node
}

test('a file has no xattrs for certain where the layer that it is shown from has none for it', async (t) => {
  const root = await rootOf(
    t,
    [
      dir('bin/'),
      file('bin/plain'),
      file('bin/loses', '', capability),
      file('bin/gains'),
      file('bin/kept', '', capability),
      hardlink('bin/same', 'bin/kept'),
      symlink('bin/link', 'kept'),
      file('bin/own', '', { xattrs: { 'user.note': 'mine' } }),
      file('bin/replaced', '', capability),
    ],
    [
      file('bin/loses', 'new'),
      file('bin/gains', 'new', capability),
      hardlink('bin/linked', 'bin/kept'),
      hardlink('bin/linked-plain', 'bin/plain', capability),
      whiteout('bin/replaced'),
    ],
    [file('bin/replaced', 'later')],
  )
  for (const [name, isBare] of Object.entries({
    plain: true,
    loses: true,
    gains: false,
    kept: false,
    same: false,
    link: true,
    own: false,
    linked: false,
    // A link has what its target has, whatever its own header says.
    'linked-plain': true,
    replaced: true,
  })) {
    const node = await find(root, `bin/${name}`)
    assert.equal(node.isBare, isBare, name)
    assert.equal(node.xattrs.size === 0, isBare, name)
    const { number } = node
    assert.equal(number?.files.isBareAt(number.index), isBare, name)
  }
  // What a directory has is put together from what its layers have, as they come to be known.
  assert.notEqual((await find(root, 'bin')).isBare, true)
})

test('what is said to have no xattrs has none, in whatever image', async (t) => {
  let bare = 0
  let others = 0
  const check = async (directory: ImageNode): Promise<void> => {
    for (const { name } of await directory.entries()) {
      const node = await directory.lookup(name)
      assert.ok(node !== undefined)
      if (node.type === 'directory') await check(node)
      else {
        assert.equal(node.isBare, node.xattrs.size === 0)
        if (node.isBare) bare++
        else others++
      }
    }
  }
  await fc.assert(
    fc.asyncProperty(randomImage, async (steps) => check(await rootOf(t, ...layersOf(steps)))),
    { numRuns: 50 },
  )
  t.diagnostic(`${String(bare)} files without xattrs, ${String(others)} with some`)
  assert.ok(bare > 0)
})
