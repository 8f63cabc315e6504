import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { FileHandle, Inode } from '../../../src/fuse/binding.js'
import { TreeOperations } from '../../../src/fuse/operations.js'
import type { Images } from '../../../src/image/image.js'
import { MergedImage, type MergedImageOptions } from '../../../src/image/merged-image.js'
import { parseReference } from '../../../src/registry/reference.js'
import { rootInode } from '../../../src/tree/inode-table.js'
import { hasCode } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { aliasTree } from '../../support/alias-tree.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { dir, file, symlink, tarOf } from '../../support/tar-of.js'

const plain = { mediaType: 'application/vnd.oci.image.layer.v1.tar' }

interface SetUp {
  readonly operations: TreeOperations
  readonly top: Inode
  readonly image: MergedImage
}

/** The operations of an image under the alias x, and the inode of that. */
async function setUp(t: TestContext, isProven = true): Promise<SetUp> {
  const tar = tarOf(dir('etc'), file('etc/b', 'bb'), file('etc/a', ''), dir('etc/d'), symlink('etc/l', 'a'))
  const reference = parseReference('quay.io/x:1')
  const image = new MergedImage({
    reference,
    // Nothing proves what is not compressed before all of it is read.
    layers: [await (isProven ? await layerFixture(t, tar) : await layerFixture(t, tar, tar, plain)).open()],
    isGone: () => false,
  } as Partial<MergedImageOptions> as MergedImageOptions)
  if (isProven) await image.index()
  const images: Images = {
    open: async () => Promise.resolve(image),
    exists: async () => Promise.resolve(true),
    opened: () => [image],
  }
  const tree = aliasTree(images, 'x', reference)
  const operations = new TreeOperations(tree, { deadlineMs: 60_000, log: silentLogger })
  return { operations, image, top: (await operations.lookup(rootInode, Buffer.from('x'))).inode }
}

test('a directory of an image that was read is opened, listed and looked up in at once, as if it was waited for', async (t) => {
  const { operations, top } = await setUp(t)
  const etc = (await operations.lookup(top, Buffer.from('etc'))).inode
  const before = operations.status().inodes
  const handle = operations.peekOpendir(etc)
  assert.ok(handle !== undefined)
  const entries = operations.peekReaddir(handle)
  assert.deepEqual(
    entries?.map(({ name, type }) => [name.toString(), type]),
    [
      ['.', 'directory'],
      ['..', 'directory'],
      ['a', 'file'],
      ['b', 'file'],
      ['d', 'directory'],
      ['l', 'symlink'],
    ],
  )
  assert.equal(operations.peekReaddir(handle), entries)
  assert.equal(await operations.readdir(handle), entries)
  assert.equal(operations.status().requests['readdir'], 1)
  for (const [index, { name, inode }] of [...entries.entries()].slice(2)) {
    const listed = operations.lookupEntry(handle, index)
    assert.ok(listed !== undefined)
    assert.equal(listed.inode, inode)
    // Asked for by its number alone.
    assert.deepEqual(await operations.getattr(listed.inode), listed.attributes)
    assert.deepEqual(operations.peekLookup(etc, name), listed)
    assert.deepEqual(await operations.lookup(etc, name), listed)
    operations.forget(listed.inode, 2)
    assert.deepEqual(await operations.getattr(listed.inode), listed.attributes)
    operations.forget(listed.inode, 1)
    await assert.rejects(operations.getattr(listed.inode), (error) => hasCode(error, 'GONE'))
  }
  assert.equal(operations.status().inodes, before)
  assert.equal(operations.status().openHandles, 1)
  operations.releasedir(handle)
  assert.equal(operations.status().openHandles, 0)
})

test('what a listing gave by its number is opened and read', async (t) => {
  const { operations, top } = await setUp(t)
  const etc = (await operations.lookup(top, Buffer.from('etc'))).inode
  const handle = await operations.opendir(etc)
  const names = (await operations.readdir(handle)).map(({ name }) => name.toString())
  const inodeOf = (name: string): Inode =>
    operations.lookupEntry(handle, names.indexOf(name))?.inode ?? rootInode
  const opened = await operations.open(inodeOf('b'))
  assert.equal((await operations.read(opened, 0, 10)).toString(), 'bb')
  assert.equal((await operations.getattrOfHandle(opened)).inode, inodeOf('b'))
  assert.equal((await operations.readlink(inodeOf('l'))).toString(), 'a')
  assert.equal(operations.peekxattr(inodeOf('a'), 'security.x'), undefined)
})

test('what may take a request is not answered at once, nor anything when the mount stops', async (t) => {
  const { operations, top } = await setUp(t)
  // Its tag may have moved.
  assert.equal(operations.peekOpendir(top), undefined)
  assert.equal(operations.peekLookup(top, Buffer.from('etc')), undefined)
  const etc = (await operations.lookup(top, Buffer.from('etc'))).inode
  assert.equal(operations.peekLookup(etc, Buffer.from('none')), undefined)
  const handle = operations.peekOpendir(etc) as FileHandle
  const fileInode = operations.peekLookup(etc, Buffer.from('b'))?.inode as Inode
  assert.throws(
    () => operations.peekOpendir(fileInode),
    (error) => hasCode(error, 'NOT_A_DIRECTORY'),
  )
  operations.stop()
  assert.equal(operations.peekOpendir(etc), undefined)
  assert.equal(operations.peekLookup(etc, Buffer.from('b')), undefined)
  assert.equal(operations.peekReaddir(handle), undefined)
})

test('names are believed for ever once all is proven, and for a second before', async (t) => {
  const { operations, top, image } = await setUp(t, false)
  const etc = (await operations.lookup(top, Buffer.from('etc'))).inode
  const handle = await operations.opendir(etc)
  const names = (await operations.readdir(handle)).map(({ name }) => name.toString())
  const validities = async (): Promise<unknown> => [
    (await operations.lookup(etc, Buffer.from('b'))).validMs,
    operations.peekLookup(etc, Buffer.from('b'))?.validMs,
    operations.lookupEntry(handle, names.indexOf('b'))?.validMs,
  ]
  assert.deepEqual(await validities(), [1000, 1000, 1000])
  await image.index()
  assert.deepEqual(await validities(), [Infinity, Infinity, Infinity])
})
