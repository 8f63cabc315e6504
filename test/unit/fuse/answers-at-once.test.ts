import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import type { FileHandle, FuseOperations, Inode, LookupResult } from '../../../src/fuse/binding.js'
import { abortable } from '../../../src/util/abort.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { fakeKernel } from '../../support/fake-kernel.js'
import { requestBytes } from '../../support/fuse-bytes.js'

const { errno } = constants

const found: LookupResult = {
  inode: 7 as Inode,
  validMs: 1_000,
  attributes: {
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 5,
    blocks: 1,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    linkCount: 1,
    inode: 7 as Inode,
    validMs: Infinity,
  },
}

const never = async (signal: AbortSignal | undefined): Promise<never> =>
  abortable(new Promise<never>(() => undefined), signal)
const stuckRead: Partial<FuseOperations> = {
  read: async (_handle, _offset, _length, options) => never(options?.signal),
}
const readRequest = (unique: number, size = 10): Buffer =>
  requestBytes('read', unique, 7, 3n, 0n, size, 0, 0n, 0, 0)

test('xattrs that only the kernel asks for are answered at once, and from what is known', () => {
  const { server, answers } = fakeKernel({
    getxattr: async () => Promise.reject(new Error('must not be asked')),
    peekxattr: (_inode, name) => (name === 'security.capability' ? Buffer.from('cap') : undefined),
  })
  for (const name of ['security.capability', 'security.selinux', 'system.posix_acl_access', 'trusted.x']) {
    server.take(requestBytes('getxattr', 2, 7, 100, 0, name))
  }
  assert.deepEqual(
    answers.map((one) => [one.errno, one.body.toString()]),
    [
      [0, 'cap'],
      [errno.ENODATA, ''],
      [errno.ENODATA, ''],
      [errno.ENODATA, ''],
    ],
  )
})

test('what is known is answered in the same turn, and only what is not is waited for', async () => {
  const waited: string[] = []
  const entry = { name: Buffer.from('a'), type: 'file', inode: 20 as Inode } as const
  let knows = true
  const { server, ask, answers, forgotten } = fakeKernel({
    peekLookup: () => (knows ? found : undefined),
    peekOpendir: () => (knows ? (4 as FileHandle) : undefined),
    peekReaddir: () => (knows ? [entry] : undefined),
    lookupEntry: () => ({ ...found, inode: 20 as Inode }),
    releasedir: () => undefined,
    lookup: async () => {
      waited.push('lookup')
      return Promise.reject(new RegistryFsError('NOT_FOUND', 'no such file'))
    },
    opendir: async () => {
      waited.push('opendir')
      return Promise.resolve(5 as FileHandle)
    },
    readdir: async () => {
      waited.push('readdir')
      return Promise.resolve([])
    },
  })
  const requests = [
    requestBytes('lookup', 2, 1, 'x'),
    requestBytes('opendir', 4, 7, 0, 0),
    requestBytes('readdirplus', 6, 7, 4n, 0n, 4096, 0, 0n, 0, 0),
    requestBytes('readdir', 8, 7, 4n, 1n, 4096, 0, 0n, 0, 0),
    requestBytes('releasedir', 10, 7, 4n, 0, 0, 0n),
  ]
  server.take(Buffer.concat(requests))
  assert.deepEqual(
    answers.splice(0).map((one) => [one.unique, one.errno, one.body.length]),
    [
      [2, 0, 128],
      [4, 0, 16],
      [6, 0, 160],
      [8, 0, 0],
      [10, 0, 0],
    ],
  )
  assert.deepEqual([waited, forgotten], [[], []])
  knows = false
  const later = await ask(...requests.slice(0, 3))
  assert.deepEqual(
    new Map(later.map((one) => [one.unique, one.errno])),
    new Map([
      [2, errno.ENOENT],
      [4, 0],
      [6, 0],
    ]),
  )
  assert.deepEqual(waited, ['lookup', 'opendir', 'readdir'])
})

test('what fails in the same turn is an errno too, and what nobody gets is let go', async () => {
  const failing = fakeKernel({
    peekLookup: () => {
      throw new RegistryFsError('GONE', 'gone')
    },
    peekOpendir: () => {
      throw new RegistryFsError('NOT_A_DIRECTORY', 'a file')
    },
    peekReaddir: () => {
      throw new TypeError('a bug of ours')
    },
  })
  const errnos = (
    await failing.ask(
      requestBytes('lookup', 2, 1, 'x'),
      requestBytes('opendir', 4, 7, 0, 0),
      requestBytes('readdir', 6, 7, 4n, 0n, 4096, 0, 0n, 0, 0),
    )
  ).map((one) => one.errno)
  assert.deepEqual(errnos, [errno.ESTALE, errno.ENOTDIR, errno.EIO])
  assert.match(failing.log(), /a bug of ours/)

  const closed: number[] = []
  const givenUp = fakeKernel(
    {
      peekLookup: () => found,
      peekOpendir: () => 4 as FileHandle,
      releasedir: (handle) => closed.push(handle),
    },
    errno.ENOENT,
  )
  await givenUp.ask(requestBytes('lookup', 2, 1, 'x'), requestBytes('opendir', 4, 7, 0, 0))
  assert.deepEqual([givenUp.forgotten, closed], [[[7, 1]], [4]])
})

test('a read of what is in memory is answered with the pieces as they lie there', async () => {
  const { ask } = fakeKernel({
    ...stuckRead,
    peek: (handle, offset, length) => [
      Buffer.from(`${String(handle)} ${String(offset)} ${String(length)},`),
      Buffer.from('and more'),
    ],
  })
  assert.equal((await ask(readRequest(2)))[0]?.body.toString(), '3 0 10,and more')
})

test('a read is never longer than the longest, and its memory is used again only when it went well', async () => {
  const scratches: (Buffer | undefined)[] = []
  let fails = false
  const { ask } = fakeKernel({
    read: async (_handle, _offset, length, options) => {
      scratches.push(options?.scratch)
      if (fails) throw new RegistryFsError('TIMEOUT', 'too late')
      return Promise.resolve(Buffer.alloc(length))
    },
  })
  assert.equal((await ask(readRequest(2, 0xffff_ffff)))[0]?.body.length, 1 << 20)
  fails = true
  await ask(readRequest(4))
  fails = false
  await ask(readRequest(6))
  assert.equal(scratches[1], scratches[0])
  assert.notEqual(scratches[2], scratches[0])
})
