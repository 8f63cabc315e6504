import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { ResidentSpans } from '../../../src/blob/resident-spans.js'
import type { FileHandle, Inode } from '../../../src/fuse/binding.js'
import { TreeOperations } from '../../../src/fuse/operations.js'
import type { Image, Images } from '../../../src/image/image.js'
import { MergedImage, type MergedImageOptions } from '../../../src/image/merged-image.js'
import { parseReference } from '../../../src/registry/reference.js'
import { BareInodes } from '../../../src/tree/bare-inodes.js'
import { rootInode } from '../../../src/tree/inode-table.js'
import { type Tree } from '../../../src/tree/tree.js'
import { hasCode } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { aliasTree } from '../../support/alias-tree.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { FakeResidentTable } from '../../support/fake-resident-table.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { dir, file as memoryFile, MemoryImages, type MemoryContents } from '../../support/memory-images.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'

const reference = parseReference('quay.io/x:1')
const isGone = (error: unknown): boolean => hasCode(error, 'GONE')

interface Mounted {
  readonly operations: TreeOperations
  readonly tree: Tree
  /** Each takes one lookup of every name on the way. */
  readonly walk: (path: string) => Promise<Inode>
  readonly bare: BareInodes
}

function mount(images: Images, resident?: ResidentSpans): Mounted {
  const tree = aliasTree(images, 'alias', reference)
  const bare = new BareInodes()
  const operations = new TreeOperations(tree, { deadlineMs: 60_000, log: silentLogger, resident, bare })
  const walk = async (path: string): Promise<Inode> => {
    let inode = rootInode
    for (const name of path.split('/').slice(1))
      inode = (await operations.lookup(inode, Buffer.from(name))).inode
    return inode
  }
  return { operations, tree, walk, bare }
}

/** What each number of a listing stands for, as READDIRPLUS tells it. */
async function listed(operations: TreeOperations, handle: FileHandle): Promise<Map<string, Inode>> {
  const entries = await operations.readdir(handle)
  const numbers = new Map<string, Inode>()
  for (const [index, { name }] of entries.entries()) {
    const found = operations.lookupEntry(handle, index)
    if (found !== undefined) numbers.set(name.toString(), found.inode)
  }
  return numbers
}

const disk = sampleData('random', 24 << 20)
const text = sampleData('text', 5000)
const other = file('other', 'bare', { pax: { 'SCHILY.xattr.user.a': 'x' } })
const right = tarOf(file('first', text), file('disk', disk), other)
/** The same names and sizes, and other numbers. */
const wrong = tarOf(other, file('disk', disk), file('first', text))

async function layered(t: TestContext) {
  const fixture = await layerFixture(t, right, gzipSync(right, { level: 1 }))
  const table = new FakeResidentTable()
  const resident = new ResidentSpans(table)
  const store = diskChunks(`${fixture.directory}/chunks`)
  const cache = new ChunkCache(new MemoryCache(128 << 20, resident), store)
  const layer = await fixture.open({ cache })
  const options: Partial<MergedImageOptions> = { reference, layers: [layer], isGone: () => false }
  const image = new MergedImage(options as MergedImageOptions)
  const images: Images = {
    open: async () => Promise.resolve(image),
    exists: async () => Promise.resolve(true),
    opened: () => [image],
  }
  return { fixture, table, layer, ...mount(images, resident) }
}

test('numbers of a tree that turned out wrong are stale for good, and mean nothing in the one that is made anew', async (t) => {
  const { fixture, table, layer, operations, walk, bare } = await layered(t)
  const names = ['first', 'disk', 'other']
  fixture.blob.bytes = gzipSync(wrong, { level: 1 })
  const before = new Map<string, Inode>()
  for (const name of ['disk', 'other']) before.set(name, await walk(`/alias/${name}`))
  const held = await operations.open(before.get('disk') as Inode)
  assert.ok((await operations.read(held, 5000, 100)).equals(disk.subarray(5000, 5100)))
  const wrongPlace = table.files.get(held)
  await assert.rejects(layer.ready())
  assert.deepEqual(table.files, new Map(), 'a file is still read where it was')
  for (const inode of before.values()) await assert.rejects(operations.open(inode), isGone)

  fixture.blob.bytes = gzipSync(right, { level: 1 })
  // Who asks again is not told of the failure any more.
  await sleep(2_100)
  await layer.ready()
  const after = new Map<string, Inode>()
  for (const name of names) after.set(name, await walk(`/alias/${name}`))
  const all = [...before.values(), ...after.values()]
  assert.equal(new Set(all).size, before.size + after.size)
  const directory = await operations.opendir(await walk('/alias'))
  assert.deepEqual(new Map([...(await listed(operations, directory))].slice(-3)), new Map([...after].sort()))
  operations.releasedir(directory)

  // Stale, also while new ones are open.
  const opened = await operations.open(after.get('disk') as Inode)
  for (const inode of before.values()) await assert.rejects(operations.open(inode), isGone)
  await assert.rejects(operations.read(held, 5000, 100), isGone)
  assert.equal(operations.peek(held, 5000, 100), undefined)
  assert.deepEqual([...table.files.keys()], [opened])
  assert.notDeepEqual(table.files.get(opened), wrongPlace)
  for (const at of [0, 5000, disk.length - 100])
    assert.ok((await operations.read(opened, at, 100)).equals(disk.subarray(at, at + 100)))
  // Whoever is told for certain that there are no xattrs is told so of the right ones.
  assert.ok(bare.has(after.get('first') as Inode) && !bare.has(after.get('other') as Inode))
  assert.ok(!bare.has(before.get('other') as Inode))

  operations.release(held)
  operations.release(opened)
  for (const inode of before.values()) operations.forget(inode, 1)
  for (const inode of before.values()) await assert.rejects(operations.getattr(inode), isGone)
  const again = new Set<Inode>()
  for (const name of names) again.add(await walk(`/alias/${name}`))
  assert.deepEqual([...again], [...after.values()])
})

const contents = (version: string): MemoryContents =>
  dir({
    version: memoryFile(version),
    [`only-${version}`]: memoryFile('x'),
    deep: dir({ file: memoryFile(`deep ${version}`) }),
  })

/** A name whose image goes back and forth, as an alias and by its tag; each image is the same object whenever it is shown. */
function moving() {
  const made = new Map<string, Image>()
  const sources = new Map<string, MemoryImages>()
  for (const version of ['one', 'two']) {
    const images = new MemoryImages()
    images.set('quay.io/x:1', contents(version))
    sources.set(version, images)
  }
  let current = 'one'
  const open: Images['open'] = async (asked) => {
    const shown = made.get(current)
    if (shown !== undefined) return shown
    const image = await (sources.get(current) ?? assert.fail()).open(asked)
    made.set(current, image)
    return image
  }
  const images: Images = { open, exists: async () => Promise.resolve(true), opened: () => [...made.values()] }
  const mounted = mount(images)
  const count = (version: string): number => {
    const image = made.get(version)
    return image === undefined ? 0 : mounted.tree.openCount(image)
  }
  const holds = (version: string): number => (made.get(version) as { holds?: number } | undefined)?.holds ?? 0
  const move = (version: string): void => {
    current = version
  }
  return { ...mounted, move, made, sources, count, holds }
}

for (const name of ['/alias', '/quay.io/x:1']) {
  test(`${name} that goes back and forth between two images: each number is one file, each open file what it was`, async () => {
    const { operations, walk, move, count, holds } = moving()
    const meaning = new Map<Inode, string>()
    const handles = new Map<FileHandle, string>()
    for (let round = 0; round < 6; round++) {
      const version = ['one', 'two'][round % 2] as string
      move(version)
      for (const [path, text] of [
        ['version', version],
        ['deep/file', `deep ${version}`],
      ] as const) {
        const inode = await walk(`${name}/${path}`)
        assert.equal(meaning.get(inode) ?? text, text)
        meaning.set(inode, text)
        handles.set(await operations.open(inode), text)
      }
      for (const [inode, text] of meaning) handles.set(await operations.open(inode), text)
      for (const [handle, text] of handles)
        assert.equal((await operations.read(handle, 0, 100)).toString(), text)
    }
    assert.equal(count('one') + count('two'), handles.size)
    assert.deepEqual([holds('one'), holds('two')], [1, 1])
    for (const handle of handles.keys()) operations.release(handle)
    assert.deepEqual([count('one'), count('two'), holds('one'), holds('two')], [0, 0, 0, 0])
    for (const handle of handles.keys())
      await assert.rejects(operations.read(handle, 0, 100), (error) => hasCode(error, 'BAD_HANDLE'))
  })

  test(`${name} is listed to its end, and walked below, as it was when it was opened`, async () => {
    const { operations, walk, move, count, holds } = moving()
    const top = await walk(name)
    const open = await operations.opendir(top)
    const working = await walk(`${name}/deep`)
    // It is read only after the name has moved.
    move('two')
    const now = await walk(`${name}/version`)
    const next = await operations.opendir(await walk(name))
    const names = async (handle: FileHandle): Promise<string[]> =>
      (await operations.readdir(handle)).map((entry) => entry.name.toString()).slice(2)
    assert.deepEqual(await names(open), ['version', 'only-one', 'deep'])
    assert.deepEqual(await names(next), ['version', 'only-two', 'deep'])
    assert.deepEqual([count('one'), count('two')], [1, 1])
    const numbers = await listed(operations, open)
    assert.equal(numbers.get('deep'), working)
    assert.notEqual(numbers.get('version'), now)
    const read = async (inode: Inode | undefined): Promise<string> => {
      const handle = await operations.open(inode ?? assert.fail())
      const bytes = await operations.read(handle, 0, 100)
      operations.release(handle)
      return bytes.toString()
    }
    assert.equal(await read(numbers.get('version')), 'one')
    assert.equal(await read(now), 'two')
    // Whoever works in a directory stays there.
    assert.equal(await read((await operations.lookup(working, Buffer.from('file'))).inode), 'deep one')
    const inside = await operations.opendir(working)
    assert.deepEqual(await names(inside), ['file'])
    for (const handle of [open, inside]) operations.releasedir(handle)
    assert.deepEqual([count('one'), holds('one'), count('two'), holds('two')], [0, 0, 1, 1])
    operations.releasedir(next)
    assert.deepEqual([count('two'), holds('two')], [0, 0])
  })

  test(`nothing keeps the image that ${name} had once it was closed and forgotten`, async () => {
    const { operations, walk, move, made, sources, tree } = moving()
    const before = operations.status().inodes
    const opened = await (async () => {
      const top = await walk(name)
      const handle = await operations.opendir(top)
      const working = await walk(`${name}/deep`)
      await operations.readdir(handle)
      const seen = await listed(operations, handle)
      return { handle, seen, working, old: new WeakRef(made.get('one') ?? assert.fail()), top }
    })()
    move('two')
    await walk(`${name}/version`)
    await operations.readdir(opened.handle)
    // Of the images themselves nothing is left but what the mount has.
    made.delete('one')
    sources.delete('one')
    await collect()
    assert.ok(opened.old.deref() !== undefined, 'what is open is gone')
    operations.releasedir(opened.handle)
    for (const inode of [...opened.seen.values(), opened.working, opened.top]) operations.forget(inode, 1000)
    opened.seen.clear()
    await collect()
    assert.equal(opened.old.deref(), undefined)
    assert.ok(operations.status().inodes > before)
    assert.equal(tree.pins.openCount(made.get('two') ?? assert.fail()), 0)
  })
}

/** Frees all that nobody has any more. */
async function collect(): Promise<void> {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  // What was looked at by a WeakRef stays until the turn is over.
  for (let i = 0; i < 3; i++) {
    await sleep(1)
    gc()
  }
}
