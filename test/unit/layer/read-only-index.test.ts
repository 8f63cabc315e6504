import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Layer } from '../../../src/layer/layer.js'
import { makeDamagedIndex } from '../../support/damaged-index.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'

const text = sampleData('text', 6 << 20)
const tar = tarOf(file('text', text))
const indexOf = (directory: string): string => join(directory, 'indexes', 'layer.idx')

async function check(layer: Layer): Promise<void> {
  for (const offset of [tar.length - 5000, 5000, 3 << 20])
    assert.ok((await layer.read(offset, 1000)).equals(tar.subarray(offset, offset + 1000)), String(offset))
}

test('a damaged window in a cache that is only read is found out once, and a pass takes its place', async (t) => {
  const fixture = await layerFixture(t, tar)
  await makeDamagedIndex(fixture)
  const damaged = await readFile(indexOf(fixture.directory))
  const layer = await fixture.open({ readOnly: true })
  await assert.rejects(layer.read(tar.length - 5000, 1000), { code: 'CORRUPT' })
  await check(layer)
  await layer.ready()
  const { state, indexBytes, seekPoints } = await layer.status()
  assert.deepEqual([state, indexBytes], ['ready', 0])
  assert.ok(seekPoints > 0)
  assert.ok((await readFile(indexOf(fixture.directory))).equals(damaged))
})

test('a damaged front in a cache that is only read costs a pass, and no reader an error', async (t) => {
  const fixture = await layerFixture(t, tar)
  await (await fixture.open()).ready()
  const bytes = await readFile(indexOf(fixture.directory))
  bytes.writeUInt8(bytes.readUInt8(100) ^ 0x10, 100)
  await writeFile(indexOf(fixture.directory), bytes)
  const layer = await fixture.open({ readOnly: true })
  await check(layer)
  assert.equal((await layer.status()).indexBytes, 0)
})

test('an index that another process puts in the place of a useless one is used', async (t) => {
  const fixture = await layerFixture(t, tar)
  await (await fixture.open()).ready()
  const good = await readFile(indexOf(fixture.directory))
  await makeDamagedIndex(fixture)
  const layer = await fixture.open({ readOnly: true })
  await assert.rejects(layer.read(tar.length - 5000, 1000), { code: 'CORRUPT' })
  await rm(indexOf(fixture.directory))
  await writeFile(indexOf(fixture.directory), good)
  assert.equal((await layer.status()).indexBytes, good.length)
  await check(layer)
})
