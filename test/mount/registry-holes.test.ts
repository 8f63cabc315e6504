import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { containerdisk } from '../support/containerdisk.js'
import { dataOf } from '../support/data-ranges.js'
import { dockerRegistry, writeOciLayout } from '../support/docker-registry.js'
import { output } from '../support/mounted.js'
import { complaints, mountImages, sha256sum, statusOf, untilReady } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const grain = 4096

type Ranges = readonly (readonly [start: number, end: number])[]

/** Whether each 4 KiB of a file of so many bytes has data in it, by what lseek said. */
function blocksOf(ranges: Ranges, size: number): readonly boolean[] {
  const blocks = Array.from({ length: Math.ceil(size / grain) }, () => false)
  for (const [start, end] of ranges) blocks.fill(true, Math.floor(start / grain), Math.ceil(end / grain))
  return blocks
}

/** The same by its bytes. */
function contentOf(bytes: Buffer): readonly boolean[] {
  const zeros = Buffer.alloc(grain)
  return Array.from({ length: Math.ceil(bytes.length / grain) }, (_, n) => {
    const block = bytes.subarray(n * grain, (n + 1) * grain)
    return !block.equals(zeros.subarray(0, block.length))
  })
}

test(
  'a raw disk has data where its source has it, 4 KiB by 4 KiB, for lseek, qemu-img and cp',
  { timeout: 240_000 },
  async (t) => {
    const files = await temporaryDirectory(t)
    const registry = await dockerRegistry(t)
    const disk = await containerdisk('raw')
    await writeOciLayout(join(files, 'oci'), 'latest', disk.image)
    await registry.push(join(files, 'oci'), 'disk', 'latest')
    const bytes = await readFile(disk.disk)
    const expected = contentOf(bytes)
    assert.ok(expected.includes(true) && expected.includes(false))
    const images = [`d=${registry.host}/disk`]

    const mount = await mountImages(t, { cache: join(files, 'cache'), images })
    const path = join(mount.path, 'd/disk/downloaded')
    // While the pass runs more may be called data than is, never less.
    const early = blocksOf(await dataOf(path), bytes.length)
    assert.ok(expected.every((isData, n) => !isData || early[n] === true))
    assert.equal(await sha256sum(path), await sha256sum(disk.disk))
    await untilReady(mount)
    // What stat said meanwhile, which cp goes by, the kernel believes for a second.
    await sleep(1_100)
    assert.deepEqual(blocksOf(await dataOf(path), bytes.length), expected)

    const map = JSON.parse(await output('qemu-img', 'map', '--output=json', '-f', 'raw', path)) as {
      start: number
      length: number
      data: boolean
    }[]
    const mapped = map.filter(({ data }) => data).map(({ start, length }) => [start, start + length] as const)
    assert.deepEqual(blocksOf(mapped, bytes.length), expected)

    const copy = join(files, 'copy')
    await output('cp', '--sparse=auto', path, copy)
    await output('cmp', disk.disk, copy)
    assert.deepEqual(blocksOf(await dataOf(copy), bytes.length), expected)

    // Without a page cache qemu wants extents in whole blocks, and aborts at others.
    assert.deepEqual(
      (await dataOf(path)).flat().filter((edge) => edge % grain !== 0 && edge !== bytes.length),
      [],
    )
    await output('qemu-img', 'convert', '-T', 'none', '-f', 'raw', '-O', 'raw', path, copy)
    await output('cmp', disk.disk, copy)

    // All that is allocated, in units of 512: holes need not begin at 4 KiB in the file.
    const allocated = 512 * Number(await output('stat', '-c', '%b', path))
    const dataBytes = grain * expected.filter((isData) => isData).length
    assert.ok(
      allocated <= dataBytes && allocated > 0.5 * dataBytes,
      `${String(allocated)} of ${String(dataBytes)}`,
    )
    assert.equal(await mount.stop(), 0)

    // By the index alone.
    const warm = await mountImages(t, { cache: join(files, 'cache'), images })
    const again = join(warm.path, 'd/disk/downloaded')
    assert.deepEqual(blocksOf(await dataOf(again), bytes.length), expected)
    assert.equal((await statusOf(warm)).requests.blobRequests, 0)
    assert.equal(await warm.stop(), 0)
    assert.deepEqual(complaints(warm.log()), [])
  },
)
