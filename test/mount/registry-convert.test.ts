import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { containerdisk } from '../support/containerdisk.js'
import { dockerRegistry, slowLink, writeOciLayout } from '../support/docker-registry.js'
import { output } from '../support/mounted.js'
import { complaints, mountImages, sha256sum, statusOf, untilReady } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 240_000 }

for (const format of ['qcow2', 'raw'] as const) {
  test(`a ${format} disk converts out of a real registry, cold and warm`, options, async (t) => {
    const files = await temporaryDirectory(t)
    const registry = await dockerRegistry(t)
    const disk = await containerdisk(format)
    await writeOciLayout(join(files, 'oci'), 'latest', disk.image)
    await registry.push(join(files, 'oci'), 'containerdisks/test', 'latest')
    const cache = join(files, 'cache')
    const layerBytes = disk.image.layers[0]?.size ?? 0
    const source = await sha256sum(disk.disk)

    const convert = async (mountPath: string, name: string): Promise<void> => {
      const target = join(files, name)
      const path = join(mountPath, registry.host, 'containerdisks/test:latest', 'disk')
      assert.equal(await output('ls', path), 'downloaded\n')
      await output('qemu-img', 'convert', '-f', format, '-O', 'raw', join(path, 'downloaded'), target)
      const compared = await output('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', disk.raw, target)
      assert.equal(compared, 'Images are identical.\n')
      assert.equal(await sha256sum(join(path, 'downloaded')), source)
    }

    const cold = await mountImages(t, { cache })
    await convert(cold.path, 'cold.raw')
    await untilReady(cold)
    const first = await statusOf(cold)
    const { blobBytes } = first.requests
    assert.ok(blobBytes >= layerBytes && blobBytes <= 1.02 * layerBytes, `${String(blobBytes)} bytes`)
    assert.equal(await cold.stop(), 0)
    assert.deepEqual(complaints(cold.log()), [])

    const warm = await mountImages(t, { cache })
    await convert(warm.path, 'warm.raw')
    const second = await statusOf(warm)
    assert.deepEqual([second.requests.blobRequests, second.requests.blobBytes], [0, 0])
    assert.equal(await warm.stop(), 0)
    assert.deepEqual(complaints(warm.log()), [])
  })
}

test('the disk converts while its layer is still on its way', options, async (t) => {
  const files = await temporaryDirectory(t)
  const registry = await dockerRegistry(t)
  const disk = await containerdisk('qcow2')
  await writeOciLayout(join(files, 'oci'), 'latest', disk.image)
  await registry.push(join(files, 'oci'), 'disk', 'latest')
  const link = await slowLink(t, registry.host, 3 << 20)
  const mount = await mountImages(t, { cache: join(files, 'cache'), images: [`d=${link.host}/disk`] })
  const target = join(files, 'out.raw')
  // No `ls` before: the name is answered as soon as the pass has seen it.
  const image = join(mount.path, 'd/disk/downloaded')
  assert.equal(await output('head', '-c', '3', image), 'QFI')
  assert.equal((await statusOf(mount)).images[0]?.layers[0]?.state, 'reading')
  await output('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, target)
  assert.match(await output('qemu-img', 'compare', disk.raw, target, '-f', 'raw', '-F', 'raw'), /identical/)
  await untilReady(mount)
  assert.deepEqual(complaints(mount.log()), [])
})

test('two images on a common layer fetch it once', options, async (t) => {
  const files = await temporaryDirectory(t)
  const registry = await dockerRegistry(t)
  const disk = await containerdisk('qcow2')
  await mkdir(join(files, 'cache'), { mode: 0o700 })
  for (const name of ['first', 'second']) {
    await writeOciLayout(join(files, name), 'v1', disk.image)
    await registry.push(join(files, name), name, 'v1')
  }
  const { host } = registry
  const images = [`a=${host}/first:v1`, `b=${host}/second:v1`]
  const mount = await mountImages(t, { cache: join(files, 'cache'), images })
  const sums = await Promise.all(
    ['a', 'b'].map(async (name) => sha256sum(join(mount.path, name, 'disk/downloaded'))),
  )
  const source = await sha256sum(disk.disk)
  assert.deepEqual(sums, [source, source])
  const { requests, images: opened } = await statusOf(mount)
  assert.equal(opened.length, 2)
  const layerBytes = disk.image.layers[0]?.size ?? 0
  assert.ok(requests.blobBytes <= 1.02 * layerBytes, `${String(requests.blobBytes)} of ${String(layerBytes)}`)
})
