import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import type { FileHandle, Inode } from '../../../src/fuse/binding.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { fakeKernel } from '../../support/fake-kernel.js'
import { found } from '../../support/found-file.js'
import { bytesOf, requestBytes } from '../../support/fuse-bytes.js'

const { errno } = constants

const initBody = (major: number, minor: number): Buffer => bytesOf(major, minor, 131_072, 0xffff_ffff)

test('every request is answered once', async () => {
  const calls: string[] = []
  const { ask, forgotten } = fakeKernel({
    lookup: async (parent, name) => {
      calls.push(`lookup ${String(parent)} ${name.toString('latin1')}`)
      return Promise.resolve(found)
    },
    getattr: async () => Promise.resolve(found.attributes),
    getattrOfHandle: async (handle) => {
      calls.push(`getattr of handle ${String(handle)}`)
      return Promise.resolve(found.attributes)
    },
    readlink: async () => Promise.resolve(Buffer.from('target')),
    open: async () => Promise.resolve(3 as FileHandle),
    opendir: async () => Promise.resolve(4 as FileHandle),
    read: async (_handle, offset, length) =>
      Promise.resolve(Buffer.from(`${String(offset)}+${String(length)}`)),
    lseek: async (_handle, offset, whence) => Promise.resolve(offset + (whence === 'data' ? 1 : 2)),
    release: (handle) => calls.push(`release ${String(handle)}`),
    releasedir: (handle) => calls.push(`releasedir ${String(handle)}`),
    readdir: async () => Promise.resolve([]),
    lookupEntry: () => undefined,
    getxattr: async (_inode, name) => Promise.resolve(Buffer.from(`value of ${name}`)),
    listxattr: async () => Promise.resolve(['user.a', 'user.b']),
    statfs: () => ({ blockBytes: 4096, nameBytesMax: 255 }),
  })
  const answers = await ask(
    requestBytes('lookup', 2, 1, 'a\xff'),
    requestBytes('getattr', 4, 7, 0, 0, 0n),
    requestBytes('getattr', 6, 7, 1, 0, 3n),
    requestBytes('readlink', 8, 7),
    requestBytes('open', 10, 7, 0, 0),
    requestBytes('opendir', 12, 7, 0, 0),
    requestBytes('read', 14, 7, 3n, 4096n, 100, 0, 0n, 0, 0),
    requestBytes('lseek', 16, 7, 3n, 50n, 3, 0),
    requestBytes('lseek', 18, 7, 3n, 50n, 4, 0),
    requestBytes('lseek', 20, 7, 3n, 50n, 2, 0),
    requestBytes('release', 22, 7, 3n, 0, 0, 0n),
    requestBytes('releasedir', 24, 7, 4n, 0, 0, 0n),
    requestBytes('readdir', 26, 7, 4n, 0n, 4096, 0, 0n, 0, 0),
    requestBytes('readdirplus', 28, 7, 4n, 0n, 4096, 0, 0n, 0, 0),
    requestBytes('getxattr', 30, 7, 100, 0, 'user.x'),
    requestBytes('listxattr', 32, 7, 100, 0),
    requestBytes('statfs', 34, 1),
    requestBytes('destroy', 36, 1),
    requestBytes('forget', 38, 7, 2n),
    requestBytes('batchForget', 40, 0, 2, 0, 5n, 1n, 6n, 3n),
  )
  const byUnique = [...answers].sort((a, b) => a.unique - b.unique)
  assert.deepEqual(
    byUnique.map(({ unique }) => unique),
    Array.from({ length: 18 }, (_, n) => 2 * n + 2),
  )
  const bodyOf = (unique: number): Buffer =>
    byUnique.find((one) => one.unique === unique)?.body ?? Buffer.alloc(0)
  assert.deepEqual(
    byUnique.filter((one) => one.errno !== 0).map((one) => [one.unique, one.errno]),
    [[20, errno.EINVAL]],
  )
  assert.equal(bodyOf(2).length, 128)
  assert.equal(bodyOf(4).length, 104)
  assert.equal(bodyOf(8).toString(), 'target')
  assert.deepEqual(bodyOf(10), bytesOf(3n, 0, 0))
  assert.equal(bodyOf(14).toString(), '4096+100')
  assert.deepEqual([bodyOf(16), bodyOf(18)], [bytesOf(51n), bytesOf(52n)])
  assert.equal(bodyOf(30).toString(), 'value of user.x')
  assert.equal(bodyOf(32).toString(), 'user.a\0user.b\0')
  assert.deepEqual(calls, ['lookup 1 a\xff', 'getattr of handle 3', 'release 3', 'releasedir 4'])
  assert.deepEqual(forgotten, [
    [7, 2],
    [5, 1],
    [6, 3],
  ])
})

test('what may be kept is told at open', async () => {
  for (const [caching, file, directory] of [
    ['none', 1, 0],
    ['until-reopened', 0, 0],
    ['for-ever', 2, 10],
  ] as const) {
    const { ask } = fakeKernel({
      open: async () => Promise.resolve(3 as FileHandle),
      opendir: async () => Promise.resolve(4 as FileHandle),
      cachingOf: () => caching,
    })
    const answers = await ask(requestBytes('open', 2, 7, 0, 0), requestBytes('opendir', 4, 7, 0, 0))
    assert.deepEqual(
      answers.map(({ body }) => body),
      [bytesOf(3n, file, 0), bytesOf(4n, directory, 0)],
    )
  }
})

test('changes are EROFS, unknown requests ENOSYS, and opening to write is EROFS', async () => {
  const { ask } = fakeKernel()
  const answers = await ask(
    requestBytes(16, 2, 7, 3n),
    requestBytes(4, 4, 7),
    requestBytes(999, 6, 7),
    requestBytes('open', 8, 7, 0o2, 0),
    requestBytes('open', 10, 7, 0o1, 0),
  )
  assert.deepEqual(
    answers.map((one) => one.errno),
    [errno.EROFS, errno.EROFS, errno.ENOSYS, errno.EROFS, errno.EROFS],
  )
})

test('a failure is its errno; one that is not ours is EIO and is logged', async () => {
  const { ask, log } = fakeKernel({
    lookup: async () => Promise.reject(new RegistryFsError('NOT_FOUND', 'no such file')),
    getattr: async () => Promise.reject(new TypeError('a bug of ours')),
    statfs: () => {
      throw new TypeError('another bug')
    },
    peekxattr: () => {
      throw new RegistryFsError('GONE', 'gone')
    },
  })
  const answers = await ask(
    requestBytes('lookup', 2, 1, 'x'),
    requestBytes('getattr', 4, 7, 0, 0, 0n),
    requestBytes('statfs', 6, 1),
    requestBytes('getxattr', 8, 7, 10, 0, 'security.x'),
  )
  assert.deepEqual(
    new Map(answers.map((one) => [one.unique, one.errno])),
    new Map([
      [2, errno.ENOENT],
      [4, errno.EIO],
      [6, errno.EIO],
      [8, errno.ESTALE],
    ]),
  )
  assert.equal(answers.length, 4)
  assert.match(log(), /a bug of ours/)
  assert.match(log(), /another bug/)
})

test('a request that is cut off is EIO and logged, and the others are served', async () => {
  const { ask, log, forgotten } = fakeKernel({ statfs: () => ({ blockBytes: 4096, nameBytesMax: 255 }) })
  const answers = await ask(
    requestBytes('forget', 2, 7),
    requestBytes('interrupt', 4, 7),
    requestBytes('read', 6, 7, 3n),
    requestBytes('getxattr', 8, 7),
    requestBytes('statfs', 10, 1),
  )
  assert.deepEqual(
    new Map(answers.map((one) => [one.unique, one.errno])),
    new Map([
      [6, errno.EIO],
      [8, errno.EIO],
      [10, 0],
    ]),
  )
  assert.deepEqual(forgotten, [])
  assert.match(log(), /makes no sense/)
})

test('an answer that nobody gets leaves nothing looked up and nothing open', async () => {
  const closed: string[] = []
  const entry = { name: Buffer.from('a'), type: 'file', inode: undefined } as const
  const { ask, forgotten, log } = fakeKernel(
    {
      lookup: async () => Promise.resolve(found),
      open: async () => Promise.resolve(3 as FileHandle),
      opendir: async () => Promise.resolve(4 as FileHandle),
      release: (handle) => closed.push(`file ${String(handle)}`),
      releasedir: (handle) => closed.push(`directory ${String(handle)}`),
      readdir: async () => Promise.resolve([entry, entry]),
      lookupEntry: (_handle, index) => ({ ...found, inode: (20 + index) as Inode }),
    },
    errno.ENOENT,
  )
  await ask(requestBytes('lookup', 2, 1, 'x'))
  assert.deepEqual(forgotten.splice(0), [[7, 1]])
  await ask(requestBytes('readdirplus', 4, 7, 4n, 0n, 4096, 0, 0n, 0, 0))
  assert.deepEqual(forgotten, [
    [20, 1],
    [21, 1],
  ])
  const answers = await ask(requestBytes('open', 6, 7, 0, 0), requestBytes('opendir', 8, 7, 0, 0))
  assert.deepEqual(closed, ['file 3', 'directory 4'])
  // Given up meanwhile is ordinary: no second answer, no complaint.
  assert.equal(answers.length, 2)
  assert.doesNotMatch(log(), /refused an answer/)
})

test('an answer that the kernel finds wrong becomes EIO, and is logged', async () => {
  const { ask, log } = fakeKernel({ readlink: async () => Promise.resolve(Buffer.from('x')) }, errno.EINVAL)
  assert.deepEqual(
    (await ask(requestBytes('readlink', 2, 7))).map((one) => one.errno),
    [0, errno.EIO],
  )
  assert.match(log(), /refused an answer/)
})

test('a link that is longer than a page is ENAMETOOLONG', async () => {
  for (const [length, expected] of [
    [4095, 0],
    [4096, errno.ENAMETOOLONG],
  ] as const) {
    const { ask } = fakeKernel({ readlink: async () => Promise.resolve(Buffer.alloc(length, 'x')) })
    assert.equal((await ask(requestBytes('readlink', 2, 7)))[0]?.errno, expected)
  }
})

test('INIT is agreed upon, or the kernel is too old, or it refuses', async () => {
  const agreed = fakeKernel()
  assert.equal((await agreed.ask(requestBytes('init', 2, 0, initBody(7, 45))))[0]?.body.length, 64)
  assert.deepEqual(agreed.inits, [undefined])

  const old = fakeKernel()
  assert.equal((await old.ask(requestBytes('init', 2, 0, initBody(7, 23))))[0]?.errno, errno.EPROTO)
  assert.equal(old.inits.length, 1)
  assert.match(old.inits[0]?.message ?? '', /FUSE 7\.23, which is too old/)

  const refusing = fakeKernel({}, errno.EINVAL)
  await refusing.ask(requestBytes('init', 2, 0, initBody(7, 45)))
  assert.match(refusing.inits[0]?.message ?? '', /refused/)
})

test('a directory is read page by page, each entry once, without the names that no file system can show', async () => {
  const names = ['.', '..', 'a', '', 'x/y', 'nul\0', 'n'.repeat(1024), 'm'.repeat(1023), 'not\xff', 'z']
  const { ask, log } = fakeKernel({
    readdir: async () =>
      Promise.resolve(
        names.map((name) => ({ name: Buffer.from(name, 'latin1'), type: 'file', inode: undefined })),
      ),
    lookupEntry: () => undefined,
  })
  for (const [opcode, before] of [
    ['readdir', 0],
    ['readdirplus', 128],
  ] as const) {
    const shown: string[] = []
    let offset = 0n
    for (let page = 0; page < 20; page++) {
      const [answer] = await ask(requestBytes(opcode, 2, 7, 4n, offset, 1200, 0, 0n, 0, 0))
      assert.equal(answer?.errno, 0)
      if (answer.body.length === 0) break
      for (let at = 0; at < answer.body.length;) {
        const length = answer.body.readUInt32LE(at + before + 16)
        offset = answer.body.readBigUInt64LE(at + before + 8)
        shown.push(answer.body.toString('latin1', at + before + 24, at + before + 24 + length))
        at += before + 24 + Math.ceil(length / 8) * 8
      }
    }
    assert.deepEqual(shown, ['.', '..', 'a', 'm'.repeat(1023), 'not\xff', 'z'], opcode)
  }
  assert.match(log(), /no file system can show/)
  const [beyond] = await ask(requestBytes('readdir', 2, 7, 4n, 0xffff_ffff_ffffn, 1200, 0, 0n, 0, 0))
  assert.deepEqual([beyond?.errno, beyond?.body.length], [0, 0])
})

test('xattrs: a size of 0 asks for the length, too little room is ERANGE', async () => {
  const { ask } = fakeKernel({
    getxattr: async () => Promise.resolve(Buffer.from('12345')),
    listxattr: async () => Promise.resolve(['user.a', 'user.é']),
  })
  const list = Buffer.from('user.a\0user.é\0')
  const answers = await ask(
    requestBytes('getxattr', 2, 7, 0, 0, 'user.x'),
    requestBytes('getxattr', 4, 7, 4, 0, 'user.x'),
    requestBytes('getxattr', 6, 7, 5, 0, 'user.x'),
    requestBytes('listxattr', 8, 7, 0, 0),
    requestBytes('listxattr', 10, 7, list.length - 1, 0),
    requestBytes('listxattr', 12, 7, list.length, 0),
  )
  const plain = answers.sort((a, b) => a.unique - b.unique).map((one) => [one.errno, one.body])
  assert.deepEqual(plain, [
    [0, bytesOf(5, 0)],
    [errno.ERANGE, Buffer.alloc(0)],
    [0, Buffer.from('12345')],
    [0, bytesOf(list.length, 0)],
    [errno.ERANGE, Buffer.alloc(0)],
    [0, list],
  ])
})
