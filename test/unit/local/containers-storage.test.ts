import assert from 'node:assert/strict'
import { link, lutimes, mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Image } from '../../../src/image/image.js'
import { localPlaceOf } from '../../../src/image/local-place.js'
import { resolvePath } from '../../../src/cli/resolve-path.js'
import { StorageDirectory } from '../../../src/image/storage-directory.js'
import { StorageView } from '../../../src/image/storage-view.js'
import { ContainersStorage } from '../../../src/local/containers-storage.js'
import { OpenHandles } from '../../../src/local/open-handles.js'
import { parsePlatform } from '../../../src/registry/platform.js'
import { digestHex, digestOf } from '../../../src/util/digest.js'
import { gzipLayer, imageOf } from '../../support/images.js'
import { contentOf, localCore, localReference, openLocal } from '../../support/local-core.js'
import { output } from '../../support/mounted.js'
import { file, tarOf } from '../../support/tar-of.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const packed = imageOf({
  layers: [gzipLayer(tarOf(file('a', 'base'))), gzipLayer(tarOf(file('a', 'top')))],
})
const id = digestHex(packed.config.digest)

/** A store of one image with two layers, as containers/storage lays it out; what is in them is the caller's. */
async function store(t: TestContext) {
  const files = await temporaryDirectory(t)
  const root = join(files, 'store')
  const image = join(root, 'overlay-images', id)
  const [low, high] = [join(root, 'overlay/low/diff'), join(root, 'overlay/high/diff')]
  for (const directory of [image, low, high, join(root, 'overlay-layers')])
    await mkdir(directory, { recursive: true })
  const write = async (name: string, value: unknown): Promise<void> =>
    writeFile(join(root, name), JSON.stringify(value))
  await write('overlay-images/images.json', [
    { id, digest: packed.digest, names: ['localhost/disk:v1', 'quay.io/x/disk:v1'], layer: 'high' },
  ])
  await write('overlay-layers/layers.json', [
    { id: 'low', 'diff-digest': digestOf(Buffer.from('low')), 'diff-size': 5 },
    { id: 'high', parent: 'low', 'diff-digest': digestOf(Buffer.from('high')), 'diff-size': 7 },
  ])
  await writeFile(join(image, 'manifest'), packed.manifest)
  await writeFile(
    join(image, `=${Buffer.from(packed.config.digest).toString('base64')}`),
    packed.blobs[0] ?? '',
  )
  const core = await localCore(t, files)
  const open = async (name = ''): Promise<Image> => openLocal(core, `containers-storage:[${root}]${name}`)
  return { files, root, low, high, core, open }
}

async function namesIn(image: Image, path = ''): Promise<readonly string[]> {
  const entries = await (await resolvePath(image, path)).entries()
  return entries.map(({ name }) => name.toString())
}

test('an image in a store is found by its names, its ID and its digest', async (t) => {
  const { open, high } = await store(t)
  await writeFile(join(high, 'a'), 'x')
  for (const name of [
    '',
    'disk:v1',
    'localhost/disk:v1',
    'quay.io/x/disk:v1',
    id,
    id.slice(0, 12),
    `@${packed.digest}`,
  ]) {
    const image = await open(name)
    assert.equal(image.manifest.digest, packed.digest)
    assert.equal((await contentOf(image, 'a')).toString(), 'x')
  }
  await assert.rejects(open('disk:v2'), { code: 'NOT_FOUND' })
  const status = await (await open()).layerStatus()
  assert.deepEqual(
    status.map(({ state, size }) => [state, size]),
    [
      ['ready', 5],
      ['ready', 7],
    ],
  )
  assert.equal((await open()).platform, 'linux/amd64')
})

test('an image is found in the stores that storage.conf names, the additional ones too', async (t) => {
  const { files, root, high, core } = await store(t)
  await writeFile(join(high, 'a'), 'x')
  const conf = join(files, 'storage.conf')
  const before = process.env['CONTAINERS_STORAGE_CONF']
  process.env['CONTAINERS_STORAGE_CONF'] = conf
  t.after(() => {
    if (before === undefined) delete process.env['CONTAINERS_STORAGE_CONF']
    else process.env['CONTAINERS_STORAGE_CONF'] = before
  })
  const missing = join(files, 'missing')
  for (const [graphroot, more] of [
    [root, []],
    [missing, [root]],
    [root, [missing]],
  ] as const) {
    const options = `[storage.options]\nadditionalimagestores = ${JSON.stringify(more)}\n`
    await writeFile(conf, `[storage]\ngraphroot = ${JSON.stringify(graphroot)}\n${options}`)
    assert.equal((await contentOf(await openLocal(core, 'containers-storage:disk:v1'), 'a')).toString(), 'x')
  }
  await writeFile(conf, `[storage]\ngraphroot = ${JSON.stringify(missing)}`)
  await assert.rejects(openLocal(core, 'containers-storage:disk:v1'), { message: /missing/ })
})

test('layers in a store merge as overlayfs merges them', async (t) => {
  const { open, low, high } = await store(t)
  for (const name of ['kept/low', 'opaque/low', 'user-opaque/low', 'marked/low', 'gone/x', 'file/x'])
    await mkdir(join(low, name), { recursive: true })
  for (const name of ['both', 'hidden', 'hidden-by-name']) await writeFile(join(low, name), 'low')
  for (const name of ['kept/high', 'opaque/high', 'user-opaque/high', 'marked/high'])
    await mkdir(join(high, name), { recursive: true })
  await writeFile(join(high, 'both'), 'high')
  await writeFile(join(high, 'file'), 'no directory any more')
  await output('mknod', join(high, 'hidden'), 'c', '0', '0')
  await output('mknod', join(high, 'gone'), 'c', '0', '0')
  await output('mknod', join(high, 'null'), 'c', '1', '3')
  await writeFile(join(high, '.wh.hidden-by-name'), '')
  await output('setfattr', '-n', 'trusted.overlay.opaque', '-v', 'y', join(high, 'opaque'))
  await output('setfattr', '-n', 'user.overlay.opaque', '-v', 'y', join(high, 'user-opaque'))
  await writeFile(join(high, 'marked/.wh..wh..opq'), '')
  const image = await open()
  assert.deepEqual(await namesIn(image), [
    ...['both', 'file', 'kept', 'marked', 'null', 'opaque', 'user-opaque'],
  ])
  assert.equal((await contentOf(image, 'both')).toString(), 'high')
  assert.deepEqual(await namesIn(image, 'kept'), ['high', 'low'])
  for (const name of ['opaque', 'user-opaque', 'marked'])
    assert.deepEqual(await namesIn(image, name), ['high'])
  for (const name of ['hidden', 'hidden-by-name', 'gone', 'gone/x', 'opaque/low', '.wh.hidden-by-name'])
    await assert.rejects(resolvePath(image, name), { code: 'NOT_FOUND' }, name)
  const device = (await resolvePath(image, 'null')).attributes
  assert.deepEqual([device.type, device.deviceMajor, device.deviceMinor], ['character-device', 1, 3])
})

test('files in a store have the attributes that they have there', async (t) => {
  const { open, high, core } = await store(t)
  const path = join(high, 'disk')
  await writeFile(path, 'content', { mode: 0o640 })
  await link(path, join(high, 'again'))
  await symlink('disk', join(high, 'link'))
  await output('chown', '107:108', path)
  await output('setfattr', '-n', 'user.note', '-v', 'hello', path)
  await output('setfattr', '-n', 'security.selinux', '-v', 'a_label', path)
  await utimes(path, 1_700_000_000.25, 1_700_000_000.25)
  await lutimes(join(high, 'link'), 5, 5)
  const image = await open()
  const node = await resolvePath(image, 'disk')
  const { mode, uid, gid, size, linkCount, mtimeSeconds, mtimeNanoseconds } = node.attributes
  assert.deepEqual([mode, uid, gid, size, linkCount], [0o640, 107, 108, 7, 2])
  assert.deepEqual([mtimeSeconds, mtimeNanoseconds], [1_700_000_000, 250_000_000])
  assert.deepEqual([...node.xattrs], [['user.note', Buffer.from('hello')]])
  assert.equal(await resolvePath(image, 'again'), node)
  assert.equal(await resolvePath(image, 'disk'), node)
  const symbolic = await resolvePath(image, 'link', { followLast: false })
  assert.equal(symbolic.linkName.toString(), 'disk')
  assert.equal(symbolic.attributes.mtimeSeconds, 5)
  const place = await localPlaceOf(image, node, async (...args) => core.locate(...args))
  assert.deepEqual(place, { path, offset: 0, size: 7 })
})

test('in the store of a user owners are what they are in his containers', async (t) => {
  const { files, root, high } = await store(t)
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(files, name), text)
    return join(files, name)
  }
  const idFiles = {
    passwd: await write('passwd', 'root:x:0:0::/root:/bin/sh\nina:x:1234:1200:Ina:/home/ina:/bin/sh\n'),
    subuid: await write('subuid', 'tom:100000:65536\nina:200000:65536\n# other\nina:165536:1000\n'),
    subgid: await write('subgid', '1234:300000:65536\n'),
  }
  const owners: Readonly<Record<string, readonly [string, number, number]>> = {
    own: ['1234:1200', 0, 0],
    first: ['165536:300000', 1, 1],
    last: ['166535:365535', 1000, 65_536],
    second: ['200000:300099', 1001, 100],
    others: ['100000:1234', 65_534, 65_534],
  }
  for (const [name, [owner]] of Object.entries(owners)) {
    await writeFile(join(high, name), '')
    await output('chown', owner, join(high, name))
  }
  await output('chown', '1234:1200', root)
  const found = async (files: typeof idFiles, name: string): Promise<readonly unknown[]> => {
    const handles = new OpenHandles()
    t.after(() => {
      handles.close()
    })
    const storage = new ContainersStorage(handles, parsePlatform('linux/amd64'), undefined, files)
    const reference = localReference(`containers-storage:[${root}]disk:v1`)
    const layers = await storage.layersOf(reference, await storage.fetchManifest(reference))
    const node = await StorageDirectory.root(new StorageView(layers)).lookup(Buffer.from(name))
    return [node?.attributes.uid, node?.attributes.gid]
  }
  for (const [name, [, uid, gid]] of Object.entries(owners))
    assert.deepEqual(await found(idFiles, name), [uid, gid], name)
  const none = { ...idFiles, subuid: join(files, 'missing'), subgid: join(files, 'missing') }
  assert.deepEqual(await found(none, 'own'), [0, 0])
  assert.deepEqual(await found(none, 'first'), [165_536, 300_000], 'no range is known')
  await output('chown', '0:0', root)
  assert.deepEqual(await found(idFiles, 'first'), [165_536, 300_000], 'the store of root')
})

test('what fuse-overlayfs keeps beside a file stands for its owner, mode and type', async (t) => {
  const { open, low, high } = await store(t)
  const name = 'user.containers.override_stat'
  const set = async (path: string, value: string): Promise<unknown> =>
    output('setfattr', '-n', name, '-v', value, path)
  await mkdir(join(high, 'd'))
  for (const file of ['file', 'null', 'pipe', 'plain', 'odd', 'd/gone'])
    await writeFile(join(high, file), 'x')
  await writeFile(join(low, 'low'), 'x', { mode: 0o600 })
  await set(high, '0:0:0555')
  await set(join(high, 'd'), '5:6:1777:dir')
  await set(join(high, 'file'), '107:108:4750:file')
  await set(join(high, 'null'), '0:6:666:char-1-3')
  await set(join(high, 'pipe'), '1:2:0600:pipe')
  await set(join(high, 'odd'), 'root:0:755')
  await set(join(high, 'd/gone'), '0:0:0:char-0-0')
  // The root of this layer has none: it is an attribute of the image.
  await set(join(low, 'low'), '107:108:4750:file')
  const image = await open()
  const found = async (path: string): Promise<readonly unknown[]> => {
    const { type, mode, uid, gid, deviceMajor, deviceMinor } = (await resolvePath(image, path)).attributes
    return [type, mode, uid, gid, deviceMajor, deviceMinor]
  }
  assert.deepEqual(await found('d'), ['directory', 0o1777, 5, 6, 0, 0])
  assert.deepEqual(await found('file'), ['file', 0o4750, 107, 108, 0, 0])
  assert.deepEqual(await found('null'), ['character-device', 0o666, 0, 6, 1, 3])
  assert.deepEqual(await found('pipe'), ['fifo', 0o600, 1, 2, 0, 0])
  assert.deepEqual(await found('plain'), ['file', 0o644, 0, 0, 0, 0])
  assert.deepEqual(await found('odd'), ['file', 0o644, 0, 0, 0, 0])
  assert.deepEqual(await found('low'), ['file', 0o600, 0, 0, 0, 0])
  assert.deepEqual(await namesIn(image, 'd'), [])
  assert.deepEqual([...(await resolvePath(image, 'file')).xattrs], [])
})

test('nothing in a store leads out of it', async (t) => {
  const { open, high, low, files } = await store(t)
  await mkdir(join(files, 'outside'))
  await writeFile(join(files, 'outside/secret'), 'secret')
  await mkdir(join(low, 'dir'))
  await symlink(join(files, 'outside'), join(high, 'dir'))
  await symlink(join(files, 'outside/secret'), join(high, 'file'))
  const image = await open()
  for (const name of ['dir', 'file'])
    assert.equal((await resolvePath(image, name, { followLast: false })).attributes.type, 'symlink')
  await assert.rejects(resolvePath(image, 'dir/secret'), { code: 'NOT_FOUND' })
  await assert.rejects(image.root.lookup(Buffer.from('../outside')), { code: 'INVALID' })
  // Exchanged between lookup and open.
  await writeFile(join(high, 'late'), 'harmless')
  await mkdir(join(high, 'sub'))
  await writeFile(join(high, 'sub/secret'), 'harmless')
  const late = await resolvePath(image, 'late')
  const below = await resolvePath(image, 'sub')
  await rm(join(high, 'late'))
  await symlink(join(files, 'outside/secret'), join(high, 'late'))
  await assert.rejects(late.open().read(0, 10), { code: /UNSUPPORTED|GONE/ })
  await rm(join(high, 'sub'), { recursive: true })
  await symlink(join(files, 'outside'), join(high, 'sub'))
  await assert.rejects(
    below.lookup(Buffer.from('secret')).then((node) => node ?? assert.fail('as it should')),
  )
})

test('a file that changes in a store is GONE for who has it open, and new for who looks again', async (t) => {
  const { open, high } = await store(t)
  await writeFile(join(high, 'f'), 'one')
  const image = await open()
  const source = (await resolvePath(image, 'f')).open()
  assert.equal((await source.read(0, 3)).toString(), 'one')
  await writeFile(join(high, 'f'), 'two')
  await utimes(join(high, 'f'), 5, 5)
  await assert.rejects(source.read(0, 3), { code: 'GONE' })
  assert.equal((await contentOf(image, 'f')).toString(), 'two')
})

test('what overlay cannot give from one layer alone is refused', async (t) => {
  const { open, high } = await store(t)
  await writeFile(join(high, 'meta'), '')
  await output('setfattr', '-n', 'trusted.overlay.metacopy', join(high, 'meta'))
  await mkdir(join(high, 'moved'))
  await output('setfattr', '-n', 'trusted.overlay.redirect', '-v', '/elsewhere', join(high, 'moved'))
  const image = await open()
  const meta = await resolvePath(image, 'meta')
  assert.throws(() => meta.open(), { code: 'UNSUPPORTED', message: /metacopy/ })
  await assert.rejects(image.root.lookup(Buffer.from('moved')), { code: 'UNSUPPORTED' })
})
