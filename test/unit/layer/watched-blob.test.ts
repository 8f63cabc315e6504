import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WatchedBlob } from '../../../src/layer/watched-blob.js'
import { abortable } from '../../../src/util/abort.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { MemoryBlob } from '../../support/memory-blob.js'

const bytes = Buffer.alloc(3000, 'x')

test('a blob remembers its last failure until something of it comes', async () => {
  const inner = new MemoryBlob(bytes)
  const blob = new WatchedBlob(inner)
  const code = (): string | undefined => blob.failure?.code
  assert.equal(code(), undefined)
  inner.before = async () => Promise.reject(new RegistryFsError('GONE', 'not there'))
  const target = Buffer.alloc(100)
  await assert.rejects(blob.readInto(0, target), { code: 'GONE' })
  assert.equal(code(), 'GONE')
  inner.before = () => undefined
  const progress: number[] = []
  await blob.readInto(0, target, { onProgress: (filled) => progress.push(filled) })
  assert.equal(code(), undefined)
  assert.deepEqual(progress, [100])
  assert.ok(target.equals(bytes.subarray(0, 100)))
  assert.equal(blob.distrust(0, 100), false)
  assert.deepEqual([blob.size, blob.isLocal, blob.isGone], [3000, false, false])
})

test('who gives up at once says nothing of a blob, who waits or has waited for long that nothing came', async () => {
  const inner = new MemoryBlob(bytes)
  const blob = new WatchedBlob(inner)
  for (const [waitMs, code] of [
    [20, undefined],
    [3_200, 'TIMEOUT'],
  ] as const) {
    const controller = new AbortController()
    inner.before = async () => abortable(new Promise<void>(() => undefined), controller.signal)
    const read = blob.readInto(0, Buffer.alloc(100), { signal: controller.signal })
    read.catch(() => undefined)
    await sleep(waitMs)
    assert.equal(blob.failure?.code, code, 'under way')
    controller.abort(new RegistryFsError('ABORTED', 'given up'))
    await assert.rejects(read, { code: 'ABORTED' })
    assert.equal(blob.failure?.code, code, String(waitMs))
  }
})
