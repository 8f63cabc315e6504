import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FuseOperations } from '../../../src/fuse/binding.js'
import { hasPendingSignal } from '../../../src/fuse/pending-signal.js'
import { abortable } from '../../../src/util/abort.js'
import { fakeKernel } from '../../support/fake-kernel.js'
import { nobody, requestBytes } from '../../support/fuse-bytes.js'

const { errno } = constants

const stuckRead: Partial<FuseOperations> = {
  read: async (_handle, _offset, _length, options) =>
    abortable(new Promise<never>(() => undefined), options?.signal),
}
const readRequest = (unique: number): Buffer => requestBytes('read', unique, 7, 3n, 0n, 10, 0, 0n, 0, 0)
const interrupt = (unique: number): Buffer => requestBytes('interrupt', unique + 1, 0, BigInt(unique))
const interrupted = (unique: number) => ({ unique, errno: errno.EINTR, body: Buffer.alloc(0) })

test('an interrupt during a request ends it with EINTR; after it nothing happens', async () => {
  const { ask } = fakeKernel(stuckRead)
  assert.deepEqual(await ask(readRequest(2), readRequest(4)), [])
  assert.deepEqual(await ask(interrupt(2)), [interrupted(2)])
  assert.deepEqual(await ask(interrupt(2)), [])
  assert.deepEqual(await ask(interrupt(4), interrupt(4)), [interrupted(4)])
})

test('an interrupt that overtakes its request ends that as soon as it comes, and no other', async () => {
  const { ask } = fakeKernel(stuckRead)
  assert.deepEqual(await ask(interrupt(6), interrupt(8)), [])
  assert.deepEqual(await ask(readRequest(2), readRequest(8)), [interrupted(8)])
  // However many come too late for theirs.
  for (let unique = 1000; unique < 1050; unique += 2) await ask(interrupt(unique))
  assert.deepEqual(await ask(readRequest(6), readRequest(4)), [interrupted(6)])
  assert.deepEqual(await ask(interrupt(4), interrupt(2)), [interrupted(4), interrupted(2)])
})

test('when the connection ends all that wait are given up', async () => {
  const { server, ask } = fakeKernel(stuckRead)
  await ask(readRequest(2), readRequest(4))
  server.end()
  assert.deepEqual(
    (await ask()).map((one) => [one.unique, one.errno]),
    [
      [2, errno.EINTR],
      [4, errno.EINTR],
    ],
  )
})

test('an interrupt of a thread without a signal, as io_uring causes them, ends nothing until there is one', async (t) => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  const pid = child.pid ?? 0
  const { ask } = fakeKernel({
    open: async (_inode, options) => abortable(new Promise(() => undefined), options?.signal),
  })
  const request = requestBytes('open', 2, 7, 0, 0)
  request.writeUInt32LE(pid, 32)
  await ask(request)
  assert.deepEqual(await ask(requestBytes('interrupt', 3, 0, 2n)), [])
  await sleep(200)
  assert.deepEqual(await ask(), [])
  // Stopped, it cannot take the signal that it has.
  child.kill('SIGSTOP')
  child.kill('SIGTERM')
  assert.ok(hasPendingSignal(pid))
  while ((await ask()).every(({ errno }) => errno !== constants.errno.EINTR)) await sleep(20)
})

test('whether a thread has a signal to take is seen in proc, or believed', () => {
  assert.equal(hasPendingSignal(process.pid), false)
  assert.ok(hasPendingSignal(nobody))
  assert.ok(hasPendingSignal(0))
})
