import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMount } from '../../src/fuse/mountinfo.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { heldShell } from '../support/held-shell.js'
import { gzipLayer } from '../support/images.js'
import { output, run, type Mounted } from '../support/mounted.js'
import { readersArguments } from '../support/readers-arguments.js'
import { complaints, mountImages, sha256Of, sha256sum, statusOf, untilReady } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 240_000 }
const bindings = [
  { binding: 'native', flags: [] },
  { binding: 'fuse-native', flags: ['--binding', 'fuse-native'] },
] as const
const disk = sampleData('mixed', 48 << 20)
/** Around the sizes of blocks, pages and spans. */
const small = [0, 1, 511, 512, 4095, 4096, 4097, 65_537, 1_234_567].map(
  (bytes) => [`small-${String(bytes)}`, sampleData('random', bytes)] as const,
)
const layer = gzipLayer(
  tarOf(
    dir('disk/'),
    file('disk/downloaded', disk),
    ...small.map(([name, bytes]) => file(`disk/${name}`, bytes)),
  ),
)

interface Setup {
  readonly mount: Mounted
  readonly directory: string
  readonly disk: string
  /** The same bytes outside of the mount. */
  readonly source: string
  readonly answers: () => Promise<number>
  readonly again: () => Promise<Mounted>
}

/** A mount whose layer was read by a pass, all of its reads straight from the daemon. */
async function setUp(t: TestContext, ...flags: readonly string[]): Promise<Setup> {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  const files = await temporaryDirectory(t)
  const source = join(files, 'source')
  await writeFile(source, disk)
  const images = [`d=${registry.host}/disk:v1`]
  const cache = join(files, 'cache')
  const mount = await mountImages(t, { cache, images, flags })
  const directory = join(mount.path, 'd/disk')
  await output('ls', directory)
  await untilReady(mount)
  return {
    mount,
    directory,
    disk: join(directory, 'downloaded'),
    source,
    answers: async () => {
      // The status is the same for as long as the kernel believes its size.
      await sleep(2_100)
      return (await statusOf(mount)).cache.memoryAnswers
    },
    again: async () => mountImages(t, { cache, images, flags, mountPoint: mount.path }),
  }
}

async function readDirect(path: string, blockBytes: number): Promise<string> {
  const dd = `dd if='${path}' iflag=direct bs=${String(blockBytes)} status=none | sha256sum`
  return (await output('sh', '-c', dd)).split(' ')[0] ?? ''
}

for (const { binding, flags } of bindings) {
  test(
    `${binding}: 8 readers in a memory that evicts all the time read the right bytes`,
    options,
    async (t) => {
      const setup = await setUp(t, '--memory', '32M', ...flags)
      const args = readersArguments(setup, { readers: 8, reads: 400, seed: 5, mode: 'direct' })
      const { code, stderr } = await run(process.execPath, args)
      assert.deepEqual([code, stderr], [0, ''])
      const answers = await setup.answers()
      t.diagnostic(`${String(answers)} of 3200 reads or more were answered by the threads that receive them`)
      if (binding === 'native') assert.ok(answers > 100, String(answers))
      else assert.equal(answers, 0)
      assert.equal(await setup.mount.stop(), 0)
      assert.deepEqual(complaints(setup.mount.log()), [])
    },
  )

  test(`${binding}: files of all sizes end where they end, whoever answers`, options, async (t) => {
    const setup = await setUp(t, ...flags)
    for (const round of [1, 2]) {
      for (const [name, bytes] of small) {
        for (const blockBytes of [512, 4096, 1 << 20]) {
          if (bytes.length / blockBytes > 3000) continue
          const found = await readDirect(join(setup.directory, name), blockBytes)
          assert.equal(found, sha256Of(bytes), `${name} by ${String(blockBytes)}, round ${String(round)}`)
        }
      }
    }
    assert.equal((await setup.answers()) > 0, binding === 'native')
    assert.equal(await setup.mount.stop(), 0)
  })
}

test(
  'an unmount while 64 readers read from memory ends well, and they read to their end',
  options,
  async (t) => {
    const { mount, disk: path } = await setUp(t)
    await readDirect(path, 1 << 20)
    const read = 'dd bs=64k iflag=direct status=none <&3 | sha256sum | cut -c1-64'
    const shells = await Promise.all(
      Array.from({ length: 64 }, async () => heldShell(t, `exec 3< ${path}`, read)),
    )
    const early = shells.slice(0, 32).map(async (shell) => shell.goOn())
    await output('umount', '-l', mount.path)
    const late = shells.slice(32).map(async (shell) => shell.goOn())
    assert.deepEqual(new Set(await Promise.all([...early, ...late])), new Set([`${sha256Of(disk)}\n`]))
    assert.equal(await mount.exited, 0)
    assert.equal(findMount(mount.path), undefined)
    assert.deepEqual(complaints(mount.log()), [])
  },
)

test(
  'after kill -9 under reads from memory nobody is left hanging, and a new mount takes the place',
  options,
  async (t) => {
    const setup = await setUp(t)
    const loops = Array.from({ length: 8 }, () =>
      spawn('sh', ['-c', `while dd if=${setup.disk} of=/dev/null iflag=direct bs=4k; do :; done`], {
        stdio: 'ignore',
      }),
    )
    for (const loop of loops) t.after(() => loop.kill('SIGKILL'))
    const ended = loops.map(async (loop) => once(loop, 'exit'))
    while ((await setup.answers()) < 1000);
    await setup.mount.kill9()
    await Promise.all(ended)
    const mount = await setup.again()
    assert.equal(await sha256sum(join(mount.path, 'd/disk/downloaded')), sha256Of(disk))
    assert.equal(await mount.stop(), 0)
  },
)
