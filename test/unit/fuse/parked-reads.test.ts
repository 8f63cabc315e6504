import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import type { FuseOperations } from '../../../src/fuse/binding.js'
import { ParkedReads } from '../../../src/fuse/parked-reads.js'
import { abortable } from '../../../src/util/abort.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { Deferred } from '../../../src/util/deferred.js'
import { fakeKernel, type FakeKernel } from '../../support/fake-kernel.js'
import { requestBytes } from '../../support/fuse-bytes.js'

const { errno } = constants
const bytes = Buffer.from('what was read')
const readRequest = (unique: number, size = 10): Buffer =>
  requestBytes('read', unique, 7, 3n, 4096n, size, 0, 0n, 0, 0)

/** The channel's threads: they answer what they are told to. */
class FakeChannel {
  readonly parked = new Map<number, readonly number[]>()
  takes = true
  takenBack: number[] = []

  park(unique: number, ...read: readonly number[]): boolean {
    if (this.takes) this.parked.set(unique, read)
    return this.takes
  }

  takeBack(unique: number): boolean {
    this.takenBack.push(unique)
    return this.parked.delete(unique)
  }

  answer(unique: number): void {
    assert.ok(this.parked.delete(unique), 'answered twice')
  }
}

interface Parking extends FakeKernel {
  readonly channel: FakeChannel
  /** What the reads wait for. */
  readonly loaded: Deferred<void>
  readonly calls: string[]
}

function parking(given: Partial<FuseOperations> = {}): Parking {
  const channel = new FakeChannel()
  const loaded = new Deferred<void>()
  const calls: string[] = []
  let isThere = false
  const operations: Partial<FuseOperations> = {
    load: async (_handle, _offset, _length, options) => {
      await abortable(loaded.promise, options?.signal)
      isThere = true
    },
    peek: () => {
      if (isThere) calls.push('peek')
      return isThere ? [bytes] : undefined
    },
    read: async () => {
      calls.push('read')
      return Promise.resolve(bytes)
    },
    ...given,
  }
  return {
    ...fakeKernel(operations, 0, undefined, new ParkedReads(channel)),
    channel,
    loaded,
    calls,
  }
}

test('a read that has to wait is parked, and answered here where nobody else has', async () => {
  const { ask, channel, loaded, calls } = parking()
  assert.deepEqual(await ask(readRequest(2), readRequest(4, 2 << 20)), [])
  assert.deepEqual(
    channel.parked,
    new Map([
      [2, [3, 4096, 10]],
      [4, [3, 4096, 1 << 20]],
    ]),
  )
  channel.answer(2)
  loaded.resolve()
  assert.deepEqual(await ask(), [{ unique: 4, errno: 0, body: bytes }])
  assert.deepEqual([channel.takenBack, calls], [[2, 4], ['peek']])
  // What is there is not parked.
  assert.deepEqual(await ask(readRequest(6)), [{ unique: 6, errno: 0, body: bytes }])
  assert.deepEqual(channel.takenBack, [2, 4])
})

test('a read that fails, or is given up, is answered once, whoever does', async () => {
  for (const isAnswered of [false, true]) {
    const failing = parking()
    await failing.ask(readRequest(2))
    if (isAnswered) failing.channel.answer(2)
    failing.loaded.reject(new RegistryFsError('CORRUPT', 'the CRC-32 of a span is wrong'))
    const failure = { unique: 2, errno: errno.EIO, body: Buffer.alloc(0) }
    assert.deepEqual(await failing.ask(), isAnswered ? [] : [failure])
    assert.deepEqual(failing.channel.takenBack, [2])

    const waiting = parking()
    await waiting.ask(readRequest(2))
    if (isAnswered) waiting.channel.answer(2)
    waiting.server.end()
    const givenUp = { unique: 2, errno: errno.EINTR, body: Buffer.alloc(0) }
    assert.deepEqual(await waiting.ask(), isAnswered ? [] : [givenUp])
    waiting.loaded.resolve()
    assert.deepEqual(await waiting.ask(), [])
    assert.deepEqual([waiting.channel.takenBack, waiting.calls], [[2], []])
  }
})

test('a read of what lies in no space is answered here alone', async () => {
  const { ask, channel, loaded, calls } = parking({ peek: () => undefined })
  channel.takes = false
  await ask(readRequest(2))
  loaded.resolve()
  assert.deepEqual(await ask(), [{ unique: 2, errno: 0, body: bytes }])
  assert.deepEqual([channel.takenBack, calls], [[], ['read']])
})
