import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Layer } from '../../../src/layer/layer.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { breakingOff } from '../../support/breaking-off.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { dir, file, tarOf } from '../../support/tar-of.js'
import { estargzOf, zstdChunkedOf } from '../../support/toc-layers.js'

const disk = sampleData('random', 20 << 20)
const tar = tarOf(file('first', sampleData('text', 5000)), dir('disk'), file('disk/disk.img', disk))
/** Of the blob: its table of contents lies behind. */
const contentBytes = 20 << 20

async function offsetOfDisk(layer: Layer): Promise<number> {
  const node = await layer.until((tree) => tree.root.children?.get('disk')?.children?.get('disk.img'))
  return node?.member?.dataOffset ?? -1
}

for (const [what, write] of Object.entries({ eStargz: estargzOf, 'zstd:chunked': zstdChunkedOf })) {
  const open = async (t: TestContext): Promise<{ readonly fixture: LayerFixture; readonly layer: Layer }> => {
    const { blob, annotations } = await write(tar, { chunkBytes: 400_000 })
    const fixture = await layerFixture(t, tar, blob, { annotations })
    return { fixture, layer: await fixture.open({ diffId: async () => Promise.resolve(undefined) }) }
  }

  test(`${what} that was read as a tar when its table could not be had stays one`, async (t) => {
    const { fixture, layer } = await open(t)
    const breakOff = breakingOff(fixture)
    const { before } = fixture.blob
    fixture.blob.before = () => {
      fixture.blob.before = before
      throw new RegistryFsError('UNAVAILABLE', 'down for a moment')
    }
    const offset = await offsetOfDisk(layer)
    assert.ok((await layer.read(offset, 1000)).equals(disk.subarray(0, 1000)))
    breakOff()
    await assert.rejects(layer.ready(), { code: 'UNAVAILABLE' })
    fixture.blob.before = () => undefined
    await sleep(2_100)
    assert.ok((await layer.read(offset, 1000)).equals(disk.subarray(0, 1000)))
    assert.equal(await offsetOfDisk(layer), offset)
    assert.equal(layer.isTar, true)
  })

  test(`${what} whose table was not to be had is opened by it when nobody was told of the tar`, async (t) => {
    const { fixture, layer } = await open(t)
    fixture.blob.before = () => {
      throw new RegistryFsError('UNAVAILABLE', 'down')
    }
    await assert.rejects(layer.ready(), { code: 'UNAVAILABLE' })
    fixture.blob.before = () => undefined
    await sleep(2_100)
    const offset = await offsetOfDisk(layer)
    assert.equal(layer.isTar, false)
    assert.ok((await layer.read(offset, 1000)).equals(disk.subarray(0, 1000)))
  })

  test(`${what} of which a chunk is wrong goes on with its table, to be had or not`, async (t) => {
    const { fixture, layer } = await open(t)
    const offset = await offsetOfDisk(layer)
    const right = fixture.blob.bytes
    fixture.blob.bytes = Buffer.from(right)
    // More than a chunk: it does not decode.
    fixture.blob.bytes.fill(0x55, 10 << 20, 11 << 20)
    await assert.rejects(layer.read(offset, disk.length), { code: 'CORRUPT' })
    fixture.blob.bytes = right
    await rm(join(fixture.directory, 'chunks'), { recursive: true, force: true, maxRetries: 5 })
    fixture.blob.before = (at, length) => {
      if (at + length > contentBytes) throw new RegistryFsError('UNAVAILABLE', 'down')
    }
    assert.ok((await layer.read(offset + 5_000_000, 1000)).equals(disk.subarray(5_000_000, 5_001_000)))
    assert.equal(layer.isTar, false)
  })
}
