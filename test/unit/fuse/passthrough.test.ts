import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import type { BackingFile, FileHandle, FuseOperations } from '../../../src/fuse/binding.js'
import { Passthrough } from '../../../src/fuse/passthrough.js'
import { silentLogger } from '../../../src/util/log.js'
import { fakeKernel } from '../../support/fake-kernel.js'
import { bytesOf, requestBytes } from '../../support/fuse-bytes.js'

const { errno } = constants

function setUp(answer = 1) {
  let last = 0
  let used = 0
  const opened: number[] = []
  const closed: number[] = []
  const passthrough = new Passthrough({
    open: (file) => {
      opened.push(file)
      return answer > 0 ? ++last : answer
    },
    close: (backing) => closed.push(backing),
    log: silentLogger,
  })
  let wanted = 0
  const file = (descriptor?: number): BackingFile => ({
    descriptor,
    onWanted: () => wanted++,
    onPassthrough: () => used++,
  })
  return { wanted: () => wanted, passthrough, file, opened, closed, used: () => used }
}

const handle = (number: number): FileHandle => number as FileHandle

test('all open handles of an inode are read in one way, that of the first', () => {
  const { passthrough, file, opened, closed, used } = setUp()
  passthrough.agree()
  // Cached: it stays so while any handle is open, also when there is a file meanwhile.
  assert.equal(passthrough.open(7, handle(1), undefined), 0)
  assert.equal(passthrough.open(7, handle(2), file(50)), 0)
  passthrough.release(handle(1))
  assert.equal(passthrough.open(7, handle(3), file(50)), 0)
  passthrough.release(handle(2))
  passthrough.release(handle(3))
  assert.deepEqual([opened, used()], [[], 0])
  // By the kernel: the same backing file for all, also for one that has none by now.
  assert.equal(passthrough.open(7, handle(4), file(50)), 1)
  assert.equal(passthrough.open(7, handle(5), file(51)), 1)
  assert.equal(passthrough.open(7, handle(6), undefined), 1)
  assert.equal(passthrough.open(8, handle(7), file(60)), 2)
  for (const number of [4, 5]) passthrough.release(handle(number))
  assert.deepEqual(closed, [])
  passthrough.release(handle(6))
  passthrough.release(handle(6))
  assert.deepEqual([opened, closed, used()], [[50, 60], [1], 3])
  assert.equal(passthrough.open(7, handle(8), undefined), 0)
})

test('a file that was not checked yet is wanted, where the kernel can read it', () => {
  const { passthrough, file, opened, wanted } = setUp()
  passthrough.open(7, handle(1), file())
  assert.equal(wanted(), 0)
  passthrough.agree()
  assert.equal(passthrough.open(8, handle(2), file()), 0)
  assert.deepEqual([wanted(), opened], [1, []])
})

test('a kernel that cannot, or will not, is asked no more', () => {
  const unable = setUp()
  assert.equal(unable.passthrough.open(7, handle(1), unable.file(50)), 0)
  assert.deepEqual(unable.opened, [])
  const unwilling = setUp(-errno.EPERM)
  unwilling.passthrough.agree()
  assert.equal(unwilling.passthrough.open(7, handle(1), unwilling.file(50)), 0)
  assert.equal(unwilling.passthrough.open(8, handle(2), unwilling.file(51)), 0)
  assert.deepEqual([unwilling.opened, unwilling.closed], [[50], []])
})

test('a kernel that is short of something is asked for the next file all the same', () => {
  for (const name of ['ENOMEM', 'ENOSPC', 'EAGAIN'] as const) {
    const { passthrough, file, opened } = setUp(-errno[name])
    passthrough.agree()
    assert.equal(passthrough.open(7, handle(1), file(50)), 0)
    assert.equal(passthrough.open(7, handle(2), file(50)), 0)
    assert.equal(passthrough.open(8, handle(3), file(51)), 0)
    assert.deepEqual(opened, [50, 51])
  }
})

test('an open of a file of this machine is answered with its number, and without a cache', async () => {
  const given: Partial<FuseOperations> = {
    open: async () => Promise.resolve(handle(3)),
    release: () => undefined,
    cachingOf: () => 'for-ever',
    backingOf: () => setUp().file(50),
  }
  const { passthrough, closed } = setUp()
  const { ask } = fakeKernel(given, 0, passthrough)
  const opening = requestBytes('open', 10, 7, 0, 0)
  const releasing = requestBytes('release', 22, 7, 3n, 0, 0, 0n)
  const bodyOf = async (): Promise<Buffer | undefined> => (await ask(opening)).at(0)?.body
  // Before INIT has said that the kernel can.
  assert.deepEqual(await bodyOf(), bytesOf(3n, 2, 0))
  await ask(releasing)
  await ask(requestBytes('init', 2, 0, 7, 45, 131_072, 0x4000_0000, 0x20, Buffer.alloc(44)))
  assert.deepEqual(await bodyOf(), bytesOf(3n, 0x80, 1))
  await ask(releasing)
  assert.deepEqual(closed, [1])
})

test('an open that nobody gets an answer to leaves no file with the kernel', async () => {
  const released: number[] = []
  const { passthrough, closed } = setUp()
  passthrough.agree()
  const { ask } = fakeKernel(
    {
      open: async () => Promise.resolve(handle(3)),
      release: (number) => released.push(number),
      backingOf: () => setUp().file(50),
    },
    errno.ENOENT,
    passthrough,
  )
  await ask(requestBytes('open', 10, 7, 0, 0))
  assert.deepEqual([released, closed], [[3], [1]])
})
