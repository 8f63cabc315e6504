import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { containerdisk, type Containerdisk } from '../support/containerdisk.js'
import { writeOciLayout } from '../support/docker-registry.js'
import { dockerArchive } from '../support/local-core.js'
import { output, run, type Ran } from '../support/mounted.js'
import { complaints, mountImages, program, registryfs, sha256sum } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 240_000 }

interface Sources {
  readonly files: string
  readonly cache: string
  readonly disk: Containerdisk
  /** By what made it. */
  readonly references: ReadonlyMap<string, string>
}

let made: Promise<Omit<Sources, 'cache'>> | undefined
const directory = mkdtempSync(join(tmpdir(), 'registryfs-sources-'))
after(async () => rm(directory, { recursive: true }))

/** Made once; with a cache directory for each test. */
async function sources(t: TestContext): Promise<Sources> {
  made ??= makeSources(directory)
  return { ...(await made), cache: join(await temporaryDirectory(t), 'cache') }
}

/** The same disk in everything that holds images on a machine, written by the programs that write such things. */
async function makeSources(files: string): Promise<Omit<Sources, 'cache'>> {
  const disk = await containerdisk('qcow2')
  const oci = join(files, 'oci')
  await writeOciLayout(oci, 'v1', disk.image)
  const copy = async (target: string): Promise<void> => {
    await output('skopeo', '--insecure-policy', 'copy', '--quiet', `oci:${oci}:v1`, target)
  }
  await copy(`oci:${files}/copied:v1`)
  await copy(`oci-archive:${files}/oci.tar:v1`)
  await copy(`dir:${files}/dir`)
  await copy(`containers-storage:[vfs@${files}/vfs-store+${files}/run]localhost/disk:v1`)
  const overlay = `containers-storage:[overlay@${files}/overlay-store+${files}/run]localhost/disk:v1`
  const hasOverlay = await copy(overlay).then(
    () => true,
    (error: unknown) => {
      // The kernel does not stack it on every file system (in a container it lies on another overlay).
      console.log(`# no overlay store here: ${String(error)}`)
      return false
    },
  )
  // Skopeo keeps a bind mount of the store for the next one.
  await run('umount', ['-l', join(files, 'overlay-store/overlay')], 5_000)
  const [layer] = disk.image.blobs.slice(1)
  const layers = [{ bytes: layer ?? assert.fail(), mediaType: disk.image.layers[0]?.mediaType ?? '' }]
  await writeFile(join(files, 'docker.tar'), dockerArchive([{ layers, tags: ['localhost/disk:v1'] }]))
  // As podman saved it under the name oci-dir until 3.3: flat, though it says oci.
  await copy(`dir:${files}/old-oci-dir`)
  await copy(`docker-archive:${files}/skopeo-docker.tar:localhost/disk:v1`)
  const references = new Map([
    ['skopeo oci', `oci:${files}/copied:v1`],
    ['skopeo oci-archive', `oci-archive:${files}/oci.tar`],
    ['skopeo dir', `dir:${files}/dir`],
    ["podman's old oci-dir", `oci:${files}/old-oci-dir`],
    ['skopeo containers-storage, vfs', `containers-storage:[vfs@${files}/vfs-store]disk:v1`],
    ['skopeo docker-archive', `docker-archive:${files}/skopeo-docker.tar`],
    ['docker-archive, gzip', `docker-archive:${files}/docker.tar:localhost/disk:v1`],
  ])
  if (hasOverlay) {
    const reference = `containers-storage:[${files}/overlay-store]localhost/disk:v1`
    references.set('skopeo containers-storage, overlay', reference)
  }
  return { files, disk, references }
}

async function catSha256(setup: Sources, reference: string): Promise<string> {
  const command = '"$0" "$@" | sha256sum'
  const words = [program, 'cat', reference, 'disk/downloaded', '--cache-dir', setup.cache]
  const ran = await run('sh', ['-c', command, process.execPath, ...words], 120_000)
  assert.deepEqual([ran.code, ran.stderr], [0, ''], reference)
  return ran.stdout.slice(0, 64)
}

test('the same disk comes out of all local sources, by cat and by a mount', options, async (t) => {
  const setup = await sources(t)
  const { references, cache, disk, files } = setup
  const expected = await sha256sum(disk.disk)
  for (const [what, reference] of references) {
    const sum = await catSha256(setup, reference)
    t.diagnostic(`${what.padEnd(36)} ${sum}`)
    assert.equal(sum, expected, what)
  }
  const images = [...references.values()].map((reference, i) => `disk${String(i)}=${reference}`)
  const mount = await mountImages(t, { cache, images })
  for (const [at, what] of [...references.keys()].entries()) {
    const path = join(mount.path, `disk${String(at)}`, 'disk/downloaded')
    assert.equal(await sha256sum(path), expected, what)
    const target = join(files, `${String(at)}.raw`)
    await output('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, target)
    const compared = await output('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', disk.raw, target)
    assert.equal(compared, 'Images are identical.\n', what)
  }
  // None of them is to be reached by any other name.
  for (const name of ['oci:tmp', `oci:${files}`, 'dir:1', 'containers-storage:disk'])
    assert.notEqual((await run('stat', [join(mount.path, name, 'disk/downloaded')])).code, 0, name)
  assert.equal(await mount.stop(), 0)
  const chunks = join(cache, 'chunks')
  assert.equal((await run('find', [chunks, '-type', 'f'])).stdout, '')
  const own = complaints(mount.log()).filter((line) => !/registry-1\.docker\.io|lookup/.test(line))
  assert.deepEqual(own, [])
})

test(
  'ls, index and inspect take local references, and say in one line what is wrong with one',
  options,
  async (t) => {
    const files = await temporaryDirectory(t)
    const disk = await containerdisk('qcow2')
    const oci = join(files, 'oci')
    await writeOciLayout(oci, 'v1', disk.image)
    const cache = join(files, 'cache')
    const call = async (...words: string[]): Promise<Ran> => registryfs({ cache }, ...words)
    assert.equal((await call('ls', `oci:${oci}`, 'disk')).stdout, 'downloaded\n')
    assert.equal((await call('index', `oci:${oci}`)).code, 0)
    assert.match(
      (await call('inspect', `oci:${oci}:v1`)).stdout,
      new RegExp(`^reference {2}oci:${oci}:v1\\n`),
    )
    const refused = await call('inspect', '--member', 'disk/downloaded', `oci:${oci}`)
    assert.equal(refused.code, 7)
    assert.match(
      refused.stderr,
      /^registryfs: disk\/downloaded: no argument for qemu-img: its layer is compressed with gzip.*\n$/,
    )
    await mkdir(join(files, 'empty'))
    for (const [reference, code, message] of [
      [`oci:${files}/nowhere`, 3, 'there is no such file or directory'],
      [`oci:${files}/empty`, 7, 'is no image'],
      [`oci:${oci}:v2`, 3, 'no image "v2": it has v1'],
      ['oci:', 2, 'it has no path'],
    ] as const) {
      const ran = await call('ls', reference)
      assert.equal(ran.code, code, ran.stderr)
      assert.match(ran.stderr, /^registryfs: [^\n]+\n$/)
      assert.ok(ran.stderr.includes(message), ran.stderr)
    }
    await rename(join(oci, 'blobs/sha256', disk.image.layerDigests[0]?.slice(7) ?? ''), join(files, 'away'))
    const missing = await registryfs({ cache: join(files, 'cache2') }, 'ls', `oci:${oci}`)
    assert.equal(missing.code, 3)
    assert.match(missing.stderr, /^registryfs: oci:.*: blob sha256:[0-9a-f]{64} is not there.*\n$/)
  },
)

test('qemu-img reads a file of a local image by the argument that inspect prints', options, async (t) => {
  const { files, cache, disk } = await sources(t)
  for (const reference of [
    `containers-storage:[${files}/vfs-store]disk:v1`,
    `docker-archive:${files}/skopeo-docker.tar`,
  ]) {
    const { stdout } = await registryfs({ cache }, 'inspect', '--member', 'disk/downloaded', reference)
    const target = join(files, 'direct.qcow2')
    await output('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', stdout.trim(), target)
    const [direct, original] = await Promise.all([readFile(target), readFile(disk.disk)])
    // qemu-img writes whole sectors.
    assert.ok(direct.subarray(0, original.length).equals(original), reference)
  }
})

test('a file that changes under a mount is ESTALE', options, async (t) => {
  const { files, cache } = await sources(t)
  const images = [`disk=containers-storage:[${files}/vfs-store]disk:v1`]
  const mount = await mountImages(t, { cache, images })
  const path = join(mount.path, 'disk/disk/downloaded')
  const stored = (await output('find', join(files, 'vfs-store/vfs'), '-name', 'downloaded')).trim()
  const script = 'exec 3<"$1"; head -c 65536 <&3 >/dev/null; echo changed >"$2"; cat <&3 >/dev/null'
  const ran = await run('sh', ['-c', script, 'sh', path, stored], 60_000)
  assert.match(ran.stderr, /Stale file handle/)
  // As long as the kernel believes a name.
  await sleep(1_500)
  assert.equal(await output('cat', path), 'changed\n')
  await rm(stored)
  await sleep(1_500)
  assert.notEqual((await run('cat', [path])).code, 0)
})
