/**
 * What the benchmark converts: one ext4 with an operating system's files, as a compressed qcow2 and as a 4 GiB raw disk,
 * each alone in a tar.gz layer as containerdisks have it. Made once, in bench/.work, in some minutes.
 */
import { chmod, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run, type CommandOptions } from './command.js'
import { makeLayer, type Layer } from './layer.js'
import { fillWithOperatingSystem } from './operating-system.js'

/** Another number makes everything anew. */
const version = 1
const diskSize = '4G'
export const memberName = 'disk/downloaded'

export type DiskFormat = 'qcow2' | 'raw'
export const diskFormats: readonly DiskFormat[] = ['qcow2', 'raw']

export interface Fixture {
  readonly format: DiskFormat
  /** Of the disk in the image, as a local file. */
  readonly disk: string
  /** The tar.gz. */
  readonly layer: string
  readonly layerBytes: number
  readonly layerDigest: string
  readonly diffId: string
  readonly tarBytes: number
}

export function layerOfFixture({ layer, layerBytes, layerDigest, diffId, tarBytes }: Fixture): Layer {
  return { path: layer, bytes: layerBytes, digest: layerDigest, diffId, tarBytes }
}

export interface Fixtures {
  readonly version: number
  readonly contents: string
  /** What every conversion must result in. */
  readonly source: string
  readonly images: Readonly<Record<DiskFormat, Fixture>>
}

export async function makeFixtures(work: string, options: CommandOptions): Promise<Fixtures> {
  const directory = join(work, 'fixtures')
  const listFile = join(directory, 'fixtures.json')
  const made = await readMade(listFile)
  if (made !== undefined) return made
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })

  process.stderr.write('# making the images, once: an operating system in an ext4, ')
  const root = join(directory, 'root')
  const source = join(directory, 'source.raw')
  await mkdir(root)
  const contents = await fillWithOperatingSystem(root, options)
  await run(['mke2fs', '-q', '-t', 'ext4', '-d', root, source, diskSize], options)
  await rm(root, { recursive: true, force: true })
  process.stderr.write('a qcow2 of it, two layers\n')
  const makers: Readonly<Record<DiskFormat, () => Promise<Fixture>>> = {
    raw: async () => {
      const disk = join(directory, 'raw', memberName)
      await mkdir(join(directory, 'raw/disk'), { recursive: true })
      await link(source, disk)
      return layerOf('raw', directory, options)
    },
    qcow2: async () => {
      const disk = join(directory, 'qcow2', memberName)
      await mkdir(join(directory, 'qcow2/disk'), { recursive: true })
      await run(['qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', source, disk], options)
      return layerOf('qcow2', directory, options)
    },
  }
  const [raw, qcow2] = await Promise.all([makers.raw(), makers.qcow2()])
  const fixtures: Fixtures = { version, contents, source, images: { raw, qcow2 } }
  await writeFile(`${listFile}.new`, JSON.stringify(fixtures, undefined, 2))
  await rename(`${listFile}.new`, listFile)
  return fixtures
}

async function readMade(listFile: string): Promise<Fixtures | undefined> {
  const text = await readFile(listFile, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const made = JSON.parse(text) as Fixtures
  return made.version === version ? made : undefined
}

/** `gzip -6 -n` of a tar with disk/ and disk/downloaded, which qemu's user may read. */
async function layerOf(format: DiskFormat, directory: string, options: CommandOptions): Promise<Fixture> {
  const disk = join(directory, format, memberName)
  const layer = join(directory, `${format}.tar.gz`)
  await chmod(disk, 0o440)
  const tar = ['tar', '--format=gnu', '--numeric-owner', '--owner=107', '--group=107', '-cf', '-', 'disk']
  const made = await makeLayer(layer, tar, { ...options, cwd: join(directory, format) })
  return {
    format,
    disk,
    layer,
    layerBytes: made.bytes,
    layerDigest: made.digest,
    diffId: made.diffId,
    tarBytes: made.tarBytes,
  }
}
