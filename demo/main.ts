/**
 * `make demo [IMAGE=REFERENCE]`: a disk inside a container image becomes a raw disk, without a pull. Without IMAGE the
 * image is made here (a qcow2 of an ext4 with node_modules in it) and served by a registry in this process. Everything
 * happens in one temporary directory, which is gone afterwards.
 */
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeRegistry } from '../test/support/fake-registry.js'
import { BackgroundMount } from './background-mount.js'
import { containerdiskOf } from './containerdisk.js'
import { CommandFailure, projectRoot, Shell } from './shell.js'

const interruptedExit = 130

async function demo(givenImage: string | undefined, signal: AbortSignal): Promise<void> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'registryfs-demo-')))
  const shell = new Shell(directory, signal)
  const mount = new BackgroundMount(shell, directory)
  let registry: FakeRegistry | undefined
  try {
    await mkdir(join(directory, 'mnt'))
    let reference = givenImage
    if (reference === undefined) {
      registry = await FakeRegistry.start()
      reference = await serveContainerdisk(registry, shell, directory)
    }
    await mount.start(`image=${reference}`, signal)
    await convert(shell)
    // A foreign image has no source here to compare with.
    if (givenImage === undefined)
      await shell.run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', 'source.raw', 'disk.raw')
    else await shell.run('qemu-img', 'info', 'disk.raw')
    await mount.unmount()
  } catch (error) {
    if (!signal.aborted) process.stderr.write(await mount.lastMessages())
    throw error
  } finally {
    // The commands of the clean-up run also after Ctrl-C.
    const last = new Shell(directory, new AbortController().signal)
    await mount.clear(async () => {
      await last.output('umount', '-l', 'mnt').catch(async () => last.output('fusermount3', '-uz', 'mnt'))
    })
    await registry?.stop()
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Resolves to the reference of the image. */
async function serveContainerdisk(registry: FakeRegistry, shell: Shell, directory: string): Promise<string> {
  await shell.run(
    ...['mke2fs', '-q', '-t', 'ext4', '-L', 'demo', '-d', join(projectRoot(), 'node_modules')],
    ...['source.raw', '256M'],
  )
  await shell.run('qemu-img', 'convert', '-c', '-O', 'qcow2', 'source.raw', 'disk.qcow2')
  const image = await containerdiskOf(join(directory, 'disk.qcow2'))
  for (const blob of image.blobs) registry.addBlob(blob)
  registry.addManifest('demo/containerdisk', 'latest', image.manifest, image.mediaType)
  const reference = `${registry.host}/demo/containerdisk:latest`
  const layerMiB = ((image.layers[0]?.size ?? 0) / 2 ** 20).toFixed(1)
  process.stdout.write(
    `# served as ${reference}: one tar.gz layer of ${layerMiB} MiB with disk/downloaded\n\n`,
  )
  return reference
}

async function convert(shell: Shell): Promise<void> {
  await shell.run('ls', '-l', 'mnt/image/disk')
  const names = (await shell.output('ls', '-A', 'mnt/image/disk')).split('\n').filter((name) => name !== '')
  const [name] = names
  if (name === undefined || names.length > 1)
    throw new CommandFailure('the image', `has ${String(names.length)} files in /disk, not one`)
  await shell.run('qemu-img', 'convert', '-O', 'raw', `mnt/image/disk/${name}`, 'disk.raw')
}

const controller = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    controller.abort()
  })
}

demo(process.argv[2], controller.signal).then(
  () => {
    process.stdout.write(
      'Done: the disk was read where it lies, in the registry, and everything is cleaned up.\n',
    )
  },
  (error: unknown) => {
    process.exitCode = controller.signal.aborted ? interruptedExit : 1
    const text = error instanceof CommandFailure ? error.message : String(error)
    process.stderr.write(controller.signal.aborted ? 'demo: interrupted\n' : `demo: ${text}\n`)
  },
)
