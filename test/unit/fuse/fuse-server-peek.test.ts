import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import type { FileHandle, Inode } from '../../../src/fuse/binding.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { fakeKernel } from '../../support/fake-kernel.js'
import { found } from '../../support/found-file.js'
import { requestBytes } from '../../support/fuse-bytes.js'

const { errno } = constants

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
