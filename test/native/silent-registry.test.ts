import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseReference } from '../../src/registry/reference.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { openTestCore } from '../support/in-process-core.js'
import { file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

test('the status does not wait for a config that does not come', async (t) => {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [gzipLayer(tarOf(file('disk', Buffer.from('x'))))] })
  const core = await openTestCore(t, await temporaryDirectory(t))
  await core.images.open(parseReference(`${registry.host}/disk:v1`))
  const diffIds = async (): Promise<unknown> =>
    (await core.status()).images.map(({ layers }) => layers.map(({ diffId }) => typeof diffId))
  registry.faults = { latencyMs: 8000 }
  assert.deepEqual(await diffIds(), [['undefined']])
  assert.equal(registry.requests.at(-1)?.kind, 'blob')
  // It was asked for once, and is shown as soon as it has come.
  for (let tries = 0; tries < 100 && (await diffIds())?.toString() !== 'string'; tries++) await sleep(200)
  assert.deepEqual(await diffIds(), [['string']])
  assert.deepEqual(registry.trace.slice(-1), ['GET blob 200'])
})
