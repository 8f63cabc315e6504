import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasPendingSignal } from '../../../src/fuse/pending-signal.js'
import { abortable } from '../../../src/util/abort.js'
import { fakeKernel } from '../../support/fake-kernel.js'
import { nobody, requestBytes } from '../../support/fuse-bytes.js'

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
