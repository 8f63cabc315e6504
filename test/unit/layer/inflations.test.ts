import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChunkCache } from '../../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { diskChunks } from '../../support/disk-chunks.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'

const mebibyte = 1 << 20
const tar = tarOf(file('disk', sampleData('random', 40 * mebibyte)))

test('what a first pass had no room for is inflated again for who reads it, and counted', async (t) => {
  const fixture = await layerFixture(t, tar)
  const memory = new MemoryCache(64 * mebibyte)
  const disk = diskChunks(`${fixture.directory}/chunks`)
  await disk.scan()
  const layer = await fixture.open({ cache: new ChunkCache(memory, disk) })
  // As qemu-img does: first where data lies, up to the end, then the data.
  await layer.seek('hole', tar.length - 1, tar.length)
  await layer.ready()
  const passed = await layer.status()
  assert.equal(passed.spansInflated, passed.seekPoints)
  assert.equal(passed.spansInflatedAgain, 0)
  const keptBytes = memory.usedBytes
  const spanBytes = tar.length / passed.seekPoints
  // While a pass runs a quarter of the memory is left for that at least, of which 0.85 are.
  assert.ok(keptBytes > 10 * mebibyte && keptBytes < 20 * mebibyte, String(keptBytes))

  for (let offset = 0; offset < keptBytes - 2 * spanBytes; offset += 100_000)
    assert.ok((await layer.read(offset, 100_000)).equals(tar.subarray(offset, offset + 100_000)))
  // From memory.
  const kept = await layer.status()
  assert.ok(kept.spansInflatedAgain <= 2, String(kept.spansInflatedAgain))

  for (let offset = 0; offset < tar.length; offset += 100_000) await layer.read(offset, 100_000)
  const read = await layer.status()
  assert.equal(read.spansInflated, read.seekPoints + read.spansInflatedAgain)
  assert.ok(read.spansInflatedAgain >= Math.floor((tar.length - keptBytes) / spanBytes) - 1)
})

test('spans are counted in all, and those that were seen before', async (t) => {
  const fixture = await layerFixture(t, tar)
  await (await fixture.open()).ready()
  // With the index nobody has inflated anything.
  const layer = await fixture.open()
  assert.equal((await layer.status()).spansInflated, 0)
  await layer.read(0, 10)
  await layer.read(20 * mebibyte, 10)
  const { spansInflated, spansInflatedAgain } = await layer.status()
  assert.equal(spansInflated, 2)
  assert.equal(spansInflatedAgain, 0)
})
