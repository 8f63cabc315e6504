/** Reads whose spans have to be inflated: the chunks are on the disk, the memory holds a few spans. */
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { open, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMount } from '../../src/fuse/mountinfo.js'
import { exited } from '../support/exited.js'
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
/** Its windows are needed, and its last spans are apart from the first ones. */
const disk = sampleData('text', 40 << 20)
const layer = gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', disk)))

interface Setup {
  readonly mount: Mounted
  readonly disk: string
  /** The same bytes outside of the mount. */
  readonly source: string
}

/** A mount of what was read before; `damage` sees its cache. */
async function setUp(
  t: TestContext,
  flags: readonly string[],
  damage?: (cache: string) => Promise<void>,
): Promise<Setup> {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  const files = await temporaryDirectory(t)
  const source = join(files, 'source')
  await writeFile(source, disk)
  const images = [`d=${registry.host}/disk:v1`]
  const cache = join(files, 'cache')
  const first = await mountImages(t, { cache, images })
  assert.equal(await sha256sum(join(first.path, 'd/disk/downloaded')), sha256Of(disk))
  await untilReady(first)
  assert.equal(await first.stop(), 0)
  await damage?.(cache)
  const mount = await mountImages(t, { cache, images, flags: ['--memory', '16M', ...flags] })
  return { mount, disk: join(mount.path, 'd/disk/downloaded'), source }
}

function readAtRandom(setup: Setup, reads: number, seed: number, mode = 'direct'): ChildProcess {
  return spawn(process.execPath, readersArguments(setup, { readers: 8, reads, seed, mode }))
}

for (const { binding, flags } of bindings) {
  test(
    `${binding}: readers of what is not in memory read the right bytes, also while others are killed`,
    options,
    async (t) => {
      const setup = await setUp(t, flags)
      const good = exited(readAtRandom(setup, 400, 1))
      for (let seed = 2; seed < 12; seed++) {
        const killed = readAtRandom(setup, 10_000, seed)
        await sleep(150 + 30 * seed)
        killed.kill('SIGKILL')
        await exited(killed)
      }
      assert.equal(await good, 0)
      // The status is the same for as long as the kernel believes its size.
      await sleep(2_100)
      const { cache, mount } = await statusOf(setup.mount)
      const reads = mount.requests['read'] ?? 0
      t.diagnostic(`${String(cache.memoryAnswers)} of ${String(reads)} reads were answered by threads`)
      if (binding === 'native') assert.ok(cache.memoryAnswers > 0.9 * reads, 'most were answered here')
      else assert.equal(cache.memoryAnswers, 0)
      assert.equal(await setup.mount.stop(), 0)
      assert.deepEqual(complaints(setup.mount.log()), [])
    },
  )

  test(`${binding}: where a window is damaged its readers get EIO, and no others`, options, async (t) => {
    const setup = await setUp(t, flags, async (cache) => {
      const name = (await readdir(join(cache, 'indexes'), { recursive: true })).find((one) =>
        one.endsWith('.idx'),
      )
      const index = await open(join(cache, 'indexes', name ?? ''), 'r+')
      const { size } = await index.stat()
      // The last window ends the file.
      await index.write(Buffer.of(0xff, 0xff, 0xff, 0xff), 0, 4, size - 24)
      await index.close()
    })
    const good = Array.from({ length: 8 }, async (_, reader) => {
      const skip = String(reader * 2)
      const dd = `dd if='${setup.disk}' iflag=direct bs=1M skip=${skip} count=2 status=none | sha256sum`
      return (await output('sh', '-c', dd)).slice(0, 64)
    })
    const bad = Array.from({ length: 4 }, async () =>
      run('dd', [`if=${setup.disk}`, 'iflag=direct', 'bs=64k', 'skip=638', 'of=/dev/null']),
    )
    const failed = (await Promise.all(bad)).filter(({ code }) => code !== 0)
    // Who comes after the first one has the next pass, which knows better.
    assert.ok(failed.length > 0)
    for (const { stderr } of failed) assert.match(stderr, /Input\/output error/)
    const expected = Array.from({ length: 8 }, (_, reader) =>
      sha256Of(disk.subarray(reader * (2 << 20), (reader + 1) * (2 << 20))),
    )
    assert.deepEqual(await Promise.all(good), expected)
    assert.equal(await sha256sum(setup.disk), sha256Of(disk))
    assert.equal(await setup.mount.stop(), 0)
  })
}

test(
  'an unmount while 32 readers wait for spans ends well, and they read to their end',
  options,
  async (t) => {
    const { mount, disk: path } = await setUp(t, [])
    const read = 'dd bs=256k iflag=direct status=none <&3 | sha256sum | cut -c1-64'
    const shells = await Promise.all(
      Array.from({ length: 32 }, async () => heldShell(t, `exec 3< ${path}`, read)),
    )
    const ended = shells.map(async (shell) => shell.goOn())
    await output('umount', '-l', mount.path)
    assert.deepEqual(new Set(await Promise.all(ended)), new Set([`${sha256Of(disk)}\n`]))
    assert.equal(await mount.exited, 0)
    assert.equal(findMount(mount.path), undefined)
    assert.deepEqual(complaints(mount.log()), [])
  },
)

test('a connection that is cut while spans are inflated leaves no reader hanging', options, async (t) => {
  const setup = await setUp(t, [])
  const reading = Array.from({ length: 4 }, (_, seed) => readAtRandom(setup, 10_000, 1 + seed))
  await sleep(1_500)
  for (const reader of reading) assert.equal(reader.exitCode, null)
  await output('umount', '-f', '-l', setup.mount.path)
  for (const reader of reading) assert.equal(await exited(reader), 1)
  await setup.mount.exited
  assert.equal(findMount(setup.mount.path), undefined)
  assert.deepEqual(complaints(setup.mount.log()), [])
})
