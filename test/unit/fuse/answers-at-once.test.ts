import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import type { FuseOperations } from '../../../src/fuse/binding.js'
import { abortable } from '../../../src/util/abort.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { fakeKernel } from '../../support/fake-kernel.js'
import { requestBytes } from '../../support/fuse-bytes.js'

const { errno } = constants

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
