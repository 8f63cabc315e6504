import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FakeRegistry } from '../support/fake-registry.js'
import { dataOf } from '../support/data-ranges.js'
import { hugeDisk, type HugeDisk } from '../support/huge-disk.js'
import { output, type Mounted } from '../support/mounted.js'
import { residentMiB, writtenBytes } from '../support/process-figures.js'
import { seededRandom } from '../support/random-faults.js'
import { hashesAt } from '../support/read-places.js'
import { complaints, mountImages, sha256Of, statusOf, untilReady } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

/** `SCALE_GIB=100 SCALE_DATA_MIB=175` is a layer of 200 MiB; its hash alone takes more than a minute. */
const gibibytes = Number(process.env['SCALE_GIB'] ?? 6)
const dataMebibytes = Number(process.env['SCALE_DATA_MIB'] ?? gibibytes * 6)
const mostIndexBytes = (40 * 2 ** 20 * gibibytes) / 100
const mostMiB = 400

function randomPlaces({ bytes, extents }: HugeDisk): readonly { offset: number; length: number }[] {
  const random = seededRandom(7)
  const anywhere = Array.from({ length: 100 }, () => Math.floor(random() * (bytes - 65_536)))
  // Across both ends of what is data.
  const atData = Array.from({ length: 100 }, () => {
    const { offset, length } = extents[Math.floor(random() * extents.length)] ?? { offset: 0, length: 0 }
    return Math.max(0, Math.floor(offset + (random() < 0.5 ? 0 : length) - random() * 65_536))
  })
  return [...anywhere, ...atData].map((offset) => ({ offset, length: Math.min(65_536, bytes - offset) }))
}

/** The layer is ready before its index is on disk. */
async function savedIndexBytes(mount: Mounted): Promise<number> {
  for (;;) {
    const bytes = (await statusOf(mount)).images[0]?.layers[0]?.indexBytes ?? 0
    if (bytes > 0) return bytes
    await sleep(100)
  }
}

test(
  `a raw disk of ${String(gibibytes)} GiB, mostly zeros: flat memory, a small index, and what is done again is in proportion to its data`,
  { timeout: 120_000 + gibibytes * 10_000 },
  async (t) => {
    const disk = hugeDisk(gibibytes * 2 ** 30, dataMebibytes * 2 ** 20)
    const dataBytes = disk.extents.reduce((sum, { length }) => sum + length, 0)
    const expected = disk.extents.map(({ offset, length }) => [offset, offset + length])
    const registry = await FakeRegistry.start()
    t.after(async () => registry.stop())
    // No diff ID: it would be hashed here as well.
    const image = registry.addImage('disk', 'v1', {
      layers: [disk.layer],
      config: { rootfs: { type: 'layers', diff_ids: [] } },
    })
    const sent = (): number =>
      registry.requests
        .filter(({ path }) => path.endsWith(image.layerDigests[0] ?? '?'))
        .reduce((sum, { bytesSent }) => sum + bytesSent, 0)
    const files = await temporaryDirectory(t)
    const options = { cache: join(files, 'cache'), images: [`d=${registry.host}/disk:v1`] }
    const places = randomPlaces(disk)
    const wanted = places.map(({ offset, length }) => sha256Of(disk.contentAt(offset, length)))

    const cold = await mountImages(t, options)
    const began = performance.now()
    // Somebody waits behind the frontier all the time, so that the pass keeps what it inflates.
    await dataOf(join(cold.path, 'd/disk/downloaded'))
    await untilReady(cold)
    const passSeconds = (performance.now() - began) / 1000
    assert.deepEqual(await dataOf(join(cold.path, 'd/disk/downloaded')), expected)
    assert.deepEqual(await hashesAt(join(cold.path, 'd/disk/downloaded'), places), wanted)
    const indexBytes = await savedIndexBytes(cold)
    const coldMiB = await residentMiB(cold.pid, 'VmHWM')
    assert.ok(indexBytes < mostIndexBytes, `an index of ${String(indexBytes)} bytes`)
    assert.ok(coldMiB < mostMiB, `${coldMiB.toFixed(0)} MiB`)
    assert.equal(sent(), disk.layer.bytes.length)
    assert.equal(await cold.stop(), 0)

    // The second time, by the index and the chunks on disk.
    registry.forgetRequests()
    const warm = await mountImages(t, options)
    const path = join(warm.path, 'd/disk/downloaded')
    await output('stat', path)
    const before = await writtenBytes(warm.pid)
    assert.deepEqual(await dataOf(path), expected)
    const walked = (await writtenBytes(warm.pid)) - before
    // An answer of lseek has 24 bytes; the daemon's threads wake each other with 8.
    assert.ok(walked < (2 * disk.extents.length + 100) * 64, `${String(walked)} bytes for a walk`)
    const copy = join(files, 'copy')
    const converting = performance.now()
    await output('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', path, copy)
    const convertSeconds = (performance.now() - converting) / 1000
    const answered = (await writtenBytes(warm.pid)) - before
    assert.ok(answered < 1.5 * dataBytes, `${String(answered)} bytes for ${String(dataBytes)} of data`)
    assert.deepEqual(await hashesAt(copy, places), wanted)
    assert.equal(sent(), 0)
    const warmMiB = await residentMiB(warm.pid, 'VmHWM')
    assert.ok(warmMiB < mostMiB, `${warmMiB.toFixed(0)} MiB`)
    assert.equal(await warm.stop(), 0)
    assert.deepEqual(complaints(cold.log() + warm.log()), [])
    t.diagnostic(
      `layer ${(disk.layer.bytes.length / 2 ** 20).toFixed(1)} MiB, data ${(dataBytes / 2 ** 20).toFixed(1)} MiB in ${String(disk.extents.length)} places, ` +
        `pass ${passSeconds.toFixed(1)} s, index ${(indexBytes / 1024).toFixed(0)} KiB, peaks ${coldMiB.toFixed(0)} and ${warmMiB.toFixed(0)} MiB, ` +
        `second convert ${convertSeconds.toFixed(1)} s, ${(answered / 2 ** 20).toFixed(1)} MiB answered`,
    )
  },
)
