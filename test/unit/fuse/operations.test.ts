import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ResidentSpans } from '../../../src/blob/resident-spans.js'
import type { ByteSource } from '../../../src/blob/source.js'
import type { FileHandle, Inode } from '../../../src/fuse/binding.js'
import { TreeOperations } from '../../../src/fuse/operations.js'
import { parseReference } from '../../../src/registry/reference.js'
import { rootInode } from '../../../src/tree/inode-table.js'
import { Tree } from '../../../src/tree/tree.js'
import { Deferred } from '../../../src/util/deferred.js'
import { hasCode, RegistryFsError, type ErrorCode } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { FakeResidentTable } from '../../support/fake-resident-table.js'
import {
  bytesSource,
  dir,
  file,
  MemoryImages,
  node,
  stuckSource,
  symlink,
} from '../../support/memory-images.js'

const images = (): MemoryImages => {
  const made = new MemoryImages()
  made.set(
    'quay.io/x:1',
    dir({
      hello: file('hello world', { xattrs: { 'user.own': 'mine', 'security.x': 's' } }),
      link: symlink('hello'),
      fifo: node('fifo'),
      stuck: file(stuckSource(10)),
      broken: file({
        size: 10,
        read: async () => Promise.reject(new RegistryFsError('CORRUPT', 'bad bytes')),
      }),
      bug: file({ size: 10, read: async () => Promise.reject(new TypeError('ours')) }),
    }),
  )
  return made
}

function setUp(made = images(), deadlineMs = 60_000, resident?: ResidentSpans, log = silentLogger) {
  const tree = new Tree({
    images: made,
    registry: made,
    status: async () => Promise.resolve({}),
    defaultHost: 'docker.io',
    configuredHosts: [],
    aliases: new Map([['x', parseReference('quay.io/x:1')]]),
  })
  const operations = new TreeOperations(tree, { deadlineMs, log, resident })
  const walk = async (path: string): Promise<Inode> => {
    let inode = rootInode
    for (const name of path.split('/').slice(1))
      inode = (await operations.lookup(inode, Buffer.from(name))).inode
    return inode
  }
  return { tree, operations, walk }
}

const code =
  (...codes: ErrorCode[]) =>
  (error: unknown): boolean =>
    hasCode(error, ...codes)

test('reads give as much as the file has', async () => {
  const { operations, walk } = setUp()
  const handle = await operations.open(await walk('/x/hello'))
  assert.equal((await operations.read(handle, 6, 8)).toString(), 'world')
  assert.equal((await operations.read(handle, 11, 100)).length, 0)
  assert.equal((await operations.read(handle, 1e12, 100)).length, 0)
  operations.release(handle)
  await assert.rejects(operations.read(handle, 0, 100), code('BAD_HANDLE'))
})

test('an open file or directory pins its image until it is closed', async () => {
  const made = images()
  const { tree, operations, walk } = setUp(made)
  const inode = await walk('/x/hello')
  const [image] = made.opened()
  assert.ok(image)
  const one = await operations.open(inode)
  const other = await operations.opendir(await walk('/x'))
  assert.equal(tree.openCount(image), 2)
  operations.release(one)
  operations.releasedir(other)
  operations.releasedir(other)
  assert.equal(tree.openCount(image), 0)
})

test('what was opened is closed once: when its handle is released, or when nobody waits for it any more', async () => {
  const { operations, walk, tree } = setUp()
  const opening: Deferred<ByteSource>[] = []
  const closed: string[] = []
  const source = (name: string): ByteSource => ({
    size: 1,
    read: async () => Promise.resolve(Buffer.of(1)),
    backing: { descriptor: 50, onWanted: () => undefined, onPassthrough: () => undefined },
    release: () => closed.push(name),
  })
  const inode = await walk('/x/hello')
  const image = await tree.root.lookup(Buffer.from('x'))
  const resolved = await image?.node.resolve()
  const node = await resolved?.image?.root.lookup(Buffer.from('hello'))
  assert.ok(node !== undefined)
  node.openCopied = async () => {
    const one = new Deferred<ByteSource>()
    opening.push(one)
    return one.promise
  }
  const one = operations.open(inode)
  const stopping = new AbortController()
  const other = operations.open(inode, { signal: stopping.signal })
  stopping.abort()
  await assert.rejects(other, code('ABORTED'))
  opening[0]?.resolve(source('released'))
  opening[1]?.resolve(source('given up'))
  const handle = await one
  assert.equal(operations.backingOf(handle)?.descriptor, 50)
  assert.deepEqual(closed, ['given up'])
  operations.release(handle)
  operations.release(handle)
  assert.deepEqual(closed, ['given up', 'released'])
  assert.equal(operations.backingOf(handle), undefined)
})

test('what cannot be opened that way says so', async () => {
  const { operations, walk } = setUp()
  await assert.rejects(operations.open(await walk('/x')), code('IS_A_DIRECTORY'))
  await assert.rejects(operations.opendir(await walk('/x/hello')), code('NOT_A_DIRECTORY'))
  await assert.rejects(operations.readlink(await walk('/x/hello')), code('INVALID'))
  await assert.rejects(operations.lookup(await walk('/x/hello'), Buffer.from('y')), code('NOT_A_DIRECTORY'))
  await assert.rejects(operations.lookup(await walk('/x'), Buffer.from('none')), code('NOT_FOUND'))
  await assert.rejects(operations.readdir(77 as FileHandle), code('BAD_HANDLE'))
  await assert.rejects(operations.getattr(77 as Inode), code('GONE'))
})

test('a directory is listed with itself, its parent, and the numbers that stat shows', async () => {
  const { operations, walk } = setUp()
  const inode = await walk('/x')
  const entries = await operations.readdir(await operations.opendir(inode))
  assert.deepEqual(
    entries.slice(0, 3).map((entry) => entry.name.toString()),
    ['.', '..', 'hello'],
  )
  assert.equal(entries[0]?.inode, inode)
  assert.equal(entries[2]?.inode, await walk('/x/hello'))
})

test('a request that gets nowhere ends with TIMEOUT at its deadline', async () => {
  const { operations, walk } = setUp(images(), 50)
  const handle = await operations.open(await walk('/x/stuck'))
  await assert.rejects(operations.read(handle, 0, 4), code('TIMEOUT'))
})

test('what takes too long before there is an image names the image or its registry', async () => {
  const made = images()
  made.open = async () => new Promise(() => undefined)
  made.exists = async () => new Promise(() => undefined)
  const { operations, walk } = setUp(made, 50)
  const alias = operations.opendir(await walk('/x'))
  await assert.rejects(alias, {
    code: 'TIMEOUT',
    message: /^opendir in quay\.io\/x:1 took longer than 0.05 s$/,
  })
  const host = operations.lookup(await walk('/quay.io'), Buffer.from('y:2'))
  await assert.rejects(host, { code: 'TIMEOUT', message: /^lookup y:2 in quay\.io took longer than 0.05 s$/ })
})

test('one failure that many requests meet is logged once', async () => {
  const warnings: unknown[] = []
  const warn = (...words: unknown[]): unknown => warnings.push(words)
  const { operations, walk } = setUp(images(), 60_000, undefined, { ...silentLogger, warn })
  const handle = await operations.open(await walk('/x/broken'))
  for (let i = 0; i < 4; i++) await assert.rejects(operations.read(handle, 0, 4), code('CORRUPT'))
  assert.equal(warnings.length, 1)
})

test('a first pass that gets on extends the deadline, one that has stalled does not', async () => {
  const made = images()
  const { operations, walk } = setUp(made, 40)
  const handle = await operations.open(await walk('/x/stuck'))
  const [image] = made.opened() as unknown as [{ progress: number }]
  let frontier = 0
  const advance = setInterval(() => {
    image.progress = ++frontier
  }, 10)
  const begun = Date.now()
  setTimeout(() => {
    clearInterval(advance)
  }, 250)
  await assert.rejects(operations.read(handle, 0, 4), code('TIMEOUT'))
  const took = Date.now() - begun
  assert.ok(took > 200, String(took))
})

test('an image is needed while a request waits for it or something of it is open, and no longer', async () => {
  const made = new MemoryImages()
  made.set('quay.io/x:1', dir({ 'a file': file('hello'), slow: dir({}, { delayMs: 60_000 }) }))
  const { operations, walk } = setUp(made)
  const file1 = await walk('/x/a file')
  const slow = await walk('/x/slow')
  const [image] = made.opened() as unknown as [{ isProven: boolean; holds: number }]
  assert.equal(image.holds, 0)
  const one = await operations.open(file1)
  const other = await operations.opendir(await walk('/x'))
  assert.equal(image.holds, 1)
  operations.release(one)
  assert.equal(image.holds, 1)
  operations.releasedir(other)
  assert.equal(image.holds, 0)
  image.isProven = false
  const controller = new AbortController()
  const directory = await operations.opendir(slow)
  const listing = operations.readdir(directory, { signal: controller.signal })
  assert.equal(image.holds, 2)
  const lookup = operations.lookup(slow, Buffer.from('name'), { signal: controller.signal })
  assert.equal(image.holds, 3)
  controller.abort()
  await assert.rejects(lookup, code('ABORTED'))
  await assert.rejects(listing, code('ABORTED'))
  assert.equal(image.holds, 2)
  operations.releasedir(directory)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(image.holds, 0)
})

test('stop gives up what waits, and an aborted signal its own request', async () => {
  const { operations, walk } = setUp()
  const handle = await operations.open(await walk('/x/stuck'))
  const controller = new AbortController()
  const one = operations.read(handle, 0, 4, { signal: controller.signal })
  const other = operations.read(handle, 0, 4)
  controller.abort()
  await assert.rejects(one, code('ABORTED'))
  operations.stop()
  await assert.rejects(other, code('ABORTED'))
})

test('the last error of a node is among its xattrs and in the status, a given-up request is not', async () => {
  const { tree, operations, walk } = setUp()
  for (const name of ['broken', 'bug']) {
    const inode = await walk(`/x/${name}`)
    const handle = await operations.open(inode)
    await assert.rejects(operations.read(handle, 0, 4))
    const text = (await operations.getxattr(inode, 'user.registryfs.error')).toString()
    assert.match(
      text,
      name === 'bug' ? /read: INTERNAL: ours/ : /read: CORRUPT: bad bytes \(image quay.io\/x:1\)/,
    )
  }
  assert.deepEqual(
    tree.errors.recent().map((error) => error.code),
    ['CORRUPT', 'INTERNAL'],
  )
})

test("xattrs are the facts and the member's own", async () => {
  const { operations, walk } = setUp()
  const inode = await walk('/x/hello')
  const names = await operations.listxattr(inode)
  for (const name of ['image', 'digest', 'layer', 'mediatype', 'offset', 'size'])
    assert.ok(names.includes(`user.registryfs.${name}`), name)
  assert.ok(names.includes('user.own') && names.includes('security.x'))
  assert.ok(!names.includes('user.registryfs.error'))
  assert.equal((await operations.getxattr(inode, 'user.own')).toString(), 'mine')
  assert.equal(operations.peekxattr(inode, 'security.x')?.toString(), 's')
  await assert.rejects(operations.getxattr(inode, 'user.none'), code('NO_ATTRIBUTE'))
  await assert.rejects(operations.getxattr(inode, 'user.registryfs.none'), code('NO_ATTRIBUTE'))
})

test('what is neither file nor directory lists no facts, which the kernel would refuse there', async () => {
  const { operations, walk } = setUp()
  for (const name of ['link', 'fifo'])
    assert.deepEqual(await operations.listxattr(await walk(`/x/${name}`)), [])
})

test('an image that cannot be opened still says why', async () => {
  const made = images()
  made.fail('quay.io/x:1', new RegistryFsError('DENIED', 'not for you'))
  const { operations, walk } = setUp(made)
  const inode = await walk('/x')
  assert.deepEqual(await operations.listxattr(inode), ['user.registryfs.error'])
  await assert.rejects(operations.opendir(inode), code('DENIED'))
})

test('what was looked up is let go when it is forgotten', async () => {
  const { operations, walk } = setUp()
  const before = operations.status().inodes
  const inode = await walk('/x/hello')
  operations.forget(inode, 1)
  await assert.rejects(operations.getattr(inode), code('GONE'))
  assert.equal(operations.status().inodes, before + 1)
})

test('the size of a symbolic link is the length of its target', async () => {
  const { operations, walk } = setUp()
  assert.equal((await operations.getattr(await walk('/x/link'))).size, 5)
})

test('open files whose bytes lie in one piece are told of, until they are closed or all is stopped', async () => {
  const made = images()
  const placed = { ...bytesSource(Buffer.alloc(70)), placed: { space: 5, offset: 512 } }
  made.set('quay.io/x:1', dir({ hello: file('hello'), placed: file(placed), other: file(placed) }))
  const table = new FakeResidentTable()
  const { operations, walk } = setUp(made, 60_000, new ResidentSpans(table))
  await operations.opendir(await walk('/x'))
  await operations.open(await walk('/x/hello'))
  assert.deepEqual([...table.files], [])
  const first = await operations.open(await walk('/x/placed'))
  const second = await operations.open(await walk('/x/other'))
  const place = { space: 5, offset: 512, size: 70 }
  assert.deepEqual(table.files, new Map([first, second].map((handle) => [handle, place])))
  operations.release(first)
  assert.deepEqual([...table.files.keys()], [second])
  await operations.read(second, 0, 10)
  table.answered = 41
  assert.equal(operations.status().requests.read, 42)
  operations.stop()
  assert.deepEqual([...table.files], [])
  await assert.rejects(operations.open(await walk('/x/placed').catch(() => 2 as Inode)))
})
