import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { crc32 } from '../../src/native.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const run = promisify(execFile)
const verbs = fileURLToPath(new URL('worker-verbs.js', import.meta.url))
const threads = (): number => readdirSync('/proc/self/task').length
const descriptors = (): number => readdirSync('/proc/self/fd').length

// The addon has threads of its own as soon as it is loaded, libuv when something blocks.
crc32(Buffer.alloc(1))
await Promise.all(Array.from({ length: 8 }, async () => run('true')))

const rounds = 25

for (const scenario of ['passes', 'spans', 'blocking', 'channels']) {
  test(`a worker thread may end in the middle of its ${scenario}`, async (t) => {
    const directory = await temporaryDirectory(t)
    const end = async (): Promise<void> => {
      const worker = new Worker(verbs, { workerData: [scenario, directory], trackUnmanagedFds: false })
      await once(worker, 'message')
      await sleep(Math.random() * 20)
      await worker.terminate()
    }
    await end()
    const before = [threads(), descriptors()]
    for (let round = 0; round < rounds; round++) await end()
    // A worker that ends between its own open(2) and the channel's beginning leaves one behind; with each it would be ours.
    const spare = scenario === 'channels' ? 0.6 * rounds : 2
    const [maximumThreads, maximumDescriptors] = [(before[0] ?? 0) + 4, (before[1] ?? 0) + spare]
    const areGone = (): boolean => threads() <= maximumThreads && descriptors() <= maximumDescriptors
    for (let tries = 0; !areGone() && tries < 500; tries++) await sleep(20)
    assert.ok(
      areGone(),
      `${String(threads())} threads, ${String(descriptors())} open; before ${before.join()}`,
    )
  })
}

test('a mount that comes when nobody is there any more to serve it is dead', async (t) => {
  const directory = await temporaryDirectory(t)
  const worker = new Worker(verbs, { workerData: ['mount', directory] })
  try {
    await once(worker, 'message')
    await sleep(300)
    await worker.terminate()
    await assert.rejects(
      run('ls', [directory], { timeout: 30_000, killSignal: 'SIGKILL' }),
      /Transport endpoint is not connected/,
    )
  } finally {
    await run('umount', ['-l', directory])
  }
})
