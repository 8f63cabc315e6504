/**
 * A raw disk of 100 GiB, mostly zeros, in a layer of about 200 MiB: `node build/bench/huge-disk.js [GIB] [DATA_MIB]`. What
 * test/mount/scale-huge-disk.test.ts asserts of a smaller one, as figures. Everything lies in bench/.work/huge and is removed.
 */
import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { packageRoot } from '../src/util/package-root.js'
import { dataOf } from '../test/support/data-ranges.js'
import { FakeRegistry } from '../test/support/fake-registry.js'
import { hugeDisk } from '../test/support/huge-disk.js'
import { hashesAt } from '../test/support/read-places.js'
import { run, secondsOf } from './command.js'
import { RegistryfsMount } from './registryfs.js'

const mebibyte = 2 ** 20
const readBytes = 64 * 1024
const gibibytes = Number(process.argv[2] ?? 100)
const dataMebibytes = Number(process.argv[3] ?? 175)

function report(what: string, value: number, unit: string, atMost?: number): void {
  const wanted = atMost === undefined ? '' : ` (at most ${String(atMost)}${value > atMost ? ': MISSED' : ''})`
  console.log(`${what.padEnd(62)} ${value.toFixed(2)} ${unit}${wanted}`)
}

async function untilIndexed(mount: RegistryfsMount): Promise<number> {
  for (;;) {
    const bytes = await mount.indexBytes()
    if (bytes > 0) return bytes
    await sleep(200)
  }
}

const disk = hugeDisk(gibibytes * 2 ** 30, dataMebibytes * mebibyte)
const dataBytes = disk.extents.reduce((sum, { length }) => sum + length, 0)
const expected = JSON.stringify(disk.extents.map(({ offset, length }) => [offset, offset + length]))
const places = Array.from({ length: 200 }, (_, n) => {
  const { offset } = disk.extents[Math.floor((n * disk.extents.length) / 200)] ?? { offset: 0 }
  return { offset: Math.max(0, Math.floor(offset - Math.random() * readBytes)), length: readBytes }
})
const hashes = places.map(({ offset, length }) =>
  createHash('sha256').update(disk.contentAt(offset, length)).digest('hex'),
)

async function checkPlaces(path: string): Promise<void> {
  if ((await hashesAt(path, places)).join() !== hashes.join()) throw new Error(`wrong bytes in ${path}`)
}

async function measure(work: string): Promise<void> {
  const registry = await FakeRegistry.start()
  try {
    const { layer } = disk
    // Without a diff ID: it would be hashed here as well.
    registry.addImage('disk', 'v1', { layers: [layer], config: { rootfs: { type: 'layers', diff_ids: [] } } })
    const cache = join(work, 'cache')
    const reference = `${registry.host}/disk:v1`
    report(`layer with a disk of ${String(gibibytes)} GiB`, layer.bytes.length / mebibyte, 'MiB')
    report(`data in it, in ${String(disk.extents.length)} places`, dataBytes / mebibyte, 'MiB')
    const cold = await RegistryfsMount.start(work, cache, reference)
    try {
      let indexBytes = 0
      const seconds = await secondsOf(async () => {
        await run(['stat', cold.disk])
        const walk = dataOf(cold.disk)
        indexBytes = await untilIndexed(cold)
        await walk
      })
      report('first pass, with a SEEK_DATA walk that follows it', seconds, 's')
      report('of tar in each second', (gibibytes * 1024) / seconds, 'MiB')
      report('index', indexBytes / mebibyte, 'MiB', 40)
      await checkPlaces(cold.disk)
      report('peak RSS with the first pass', (await cold.peakResidentBytes()) / mebibyte, 'MiB', 400)
    } finally {
      await cold.stop()
    }
    registry.forgetRequests()
    const warm = await RegistryfsMount.start(work, cache, reference)
    try {
      const walkSeconds = await secondsOf(async () => {
        if (JSON.stringify(await dataOf(warm.disk)) !== expected) throw new Error('the data is elsewhere')
      })
      report('SEEK_DATA walk in a new mount, its start included', walkSeconds, 's')
      const copy = join(work, 'copy')
      const seconds = await secondsOf(async () =>
        run(['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', warm.disk, copy]),
      )
      report('second convert', seconds, 's')
      report('second convert, for each GiB of data', seconds / (dataBytes / 2 ** 30), 's')
      await checkPlaces(copy)
      report('requests for the layer', registry.requests.filter(({ kind }) => kind === 'blob').length, '', 0)
      report('peak RSS with the second convert', (await warm.peakResidentBytes()) / mebibyte, 'MiB', 400)
    } finally {
      await warm.stop()
    }
  } finally {
    await registry.stop()
  }
}

const work = join(packageRoot, 'bench/.work/huge')
await rm(work, { recursive: true, force: true })
await mkdir(work, { recursive: true })
try {
  await measure(work)
} finally {
  await rm(work, { recursive: true, force: true })
}
