import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DiffId } from '../../../src/util/digest.js'
import { hugeDisk } from '../../support/huge-disk.js'
import { layerFixture } from '../../support/layer-fixture.js'

const disk = hugeDisk(2 ** 30, 1 << 20)
const head = 1024

test('the end of a long run of zeros is read and found a hole, whether the tar is hashed by then or not', async (t) => {
  const fixture = await layerFixture(t, Buffer.alloc(0), disk.layer.bytes)
  const layer = await fixture.open({ diffId: async () => Promise.resolve(undefined) })
  const end = head + disk.bytes
  assert.ok((await layer.read(end - 4096, 4096)).equals(disk.contentAt(disk.bytes - 4096, 4096)))
  assert.equal(await layer.seek('data', end - 4096, end), end)
  const { offset, length } = disk.extents.at(-1) ?? { offset: 0, length: 0 }
  assert.ok((await layer.read(head + offset, length)).equals(disk.contentAt(offset, length)))
  await layer.ready()
  assert.ok(layer.isProven)
})

test('a wrong diff ID takes such a layer back all the same', async (t) => {
  const fixture = await layerFixture(t, Buffer.alloc(0), disk.layer.bytes)
  const wrong = `sha256:${'0'.repeat(64)}` as DiffId
  const layer = await fixture.open({ diffId: async () => Promise.resolve(wrong) })
  await assert.rejects(layer.ready(), { code: 'DIGEST_MISMATCH', message: /diff ID/ })
  await assert.rejects(layer.read(head, 4096), { code: 'DIGEST_MISMATCH', message: /diff ID/ })
  assert.equal(layer.state, 'failed')
})

test('a wrong digest is told before the end of such a layer is shown', async (t) => {
  const digest = `sha256:${'1'.repeat(64)}`
  const fixture = await layerFixture(t, Buffer.alloc(0), disk.layer.bytes, { digest: digest as never })
  const layer = await fixture.open()
  const end = head + disk.bytes
  await assert.rejects(layer.read(end - 4096, 4096), { code: 'DIGEST_MISMATCH', message: /digest/ })
})
