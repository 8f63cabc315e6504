import { mkdtempSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
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

type Format = 'raw' | 'qcow2'

/** What was made already, and the directory that it lies in. */
const made = new Map<Format, Promise<Containerdisk>>()
let directory: string | undefined

after(async () => {
  if (directory !== undefined) await rm(directory, { recursive: true })
})

/**
 * As KubeVirt wants its containerdisks: one layer with disk/ and disk/downloaded, here a real ext4 of 48 MiB with files of
 * every kind in it. The tests of a file share it, and leave it as it is.
 */
export async function containerdisk(format: Format): Promise<Containerdisk> {
  const disk = made.get(format) ?? make(format)
  made.set(format, disk)
  return disk
}

async function make(format: Format): Promise<Containerdisk> {
  directory ??= mkdtempSync(join(tmpdir(), 'registryfs-disk-'))
  const files = join(directory, `files-${format}`)
  const raw = join(directory, `${format}.raw`)
  await mkdir(join(files, 'etc'), { recursive: true })
  await writeFile(join(files, 'etc', 'os-release'), 'NAME=test\n')
  await writeFile(join(files, 'text'), sampleData('text', 9 << 20))
  await writeFile(join(files, 'random'), sampleData('random', 9 << 20))
  await writeFile(join(files, 'sparse'), sampleData('sparse', 12 << 20))
  await output('mke2fs', '-q', '-F', '-t', 'ext4', '-d', files, raw, '48M')
  const qcow2 = join(directory, `${format}.qcow2`)
  if (format === 'qcow2') await output('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, qcow2)
  const disk = format === 'raw' ? raw : qcow2
  const owner = { uid: 107, gid: 107, mtime: 1_700_000_000 }
  const tar = tarOf(
    dir('disk/', owner),
    file('disk/downloaded', await readFile(disk), { ...owner, mode: 0o440 }),
  )
  return { raw, disk, image: imageOf({ layers: [gzipLayer(tar)] }) }
}
