import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipLayer, imageOf, type PackedImage } from './images.js'
import { output } from './mounted.js'
import { sampleData } from './sample-data.js'
import { dir, file, tarOf } from './tar-of.js'

export interface Containerdisk {
  /** The disk as a raw image, an ext4. */
  readonly raw: string
  /** What lies at disk/downloaded of the image: raw, or a compressed qcow2 of it. */
  readonly disk: string
  readonly image: PackedImage
}

/**
 * As KubeVirt wants its containerdisks: one layer with disk/ and disk/downloaded, here a real ext4 of 48 MiB with files of
 * every kind in it. `seed` makes another one.
 */
export async function containerdisk(
  directory: string,
  format: 'raw' | 'qcow2',
  seed = 1,
): Promise<Containerdisk> {
  const files = join(directory, `files-${String(seed)}`)
  const raw = join(directory, `disk-${String(seed)}.raw`)
  await mkdir(join(files, 'etc'), { recursive: true })
  await writeFile(join(files, 'etc', 'os-release'), `NAME=test\nVERSION=${String(seed)}\n`)
  await writeFile(join(files, 'text'), sampleData('text', 9 << 20, seed))
  await writeFile(join(files, 'random'), sampleData('random', 9 << 20, seed))
  await writeFile(join(files, 'sparse'), sampleData('sparse', 12 << 20, seed))
  await output('mke2fs', '-q', '-F', '-t', 'ext4', '-d', files, raw, '48M')
  const qcow2 = join(directory, `disk-${String(seed)}.qcow2`)
  if (format === 'qcow2') await output('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, qcow2)
  const disk = format === 'raw' ? raw : qcow2
  const owner = { uid: 107, gid: 107, mtime: 1_700_000_000 }
  const tar = tarOf(
    dir('disk/', owner),
    file('disk/downloaded', await readFile(disk), { ...owner, mode: 0o440 }),
  )
  return { raw, disk, image: imageOf({ layers: [gzipLayer(tar)] }) }
}
