import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMount } from '../../src/fuse/mountinfo.js'
import { exited } from '../support/exited.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { output, run, type Mounted } from '../support/mounted.js'
import {
  complaints,
  mountImages,
  program,
  registryfs,
  sha256Of,
  sha256sum,
  statusOf,
  untilReady,
} from '../support/registryfs.js'
import { readersArguments } from '../support/readers-arguments.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 240_000 }
const disk = sampleData('mixed', 64 << 20)
const layer = gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', disk)))

interface Setup {
  readonly registry: FakeRegistry
  readonly files: string
  readonly cache: string
  /** The same bytes outside of the mount. */
  readonly source: string
  readonly mount: Mounted
  readonly disk: string
}

async function setUp(t: TestContext, bytesPerSecond: number | undefined): Promise<Setup> {
  const registry = await FakeRegistry.start(
    bytesPerSecond === undefined ? {} : { faults: { bytesPerSecond } },
  )
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  const files = await temporaryDirectory(t)
  const source = join(files, 'source')
  await writeFile(source, disk)
  const cache = join(files, 'cache')
  const mount = await mountImages(t, { cache, images: [`d=${registry.host}/disk:v1`] })
  return { registry, files, cache, source, mount, disk: join(mount.path, 'd/disk/downloaded') }
}

function readAtRandom(setup: Setup, seed: number, mode?: string): ChildProcess {
  const args = readersArguments(setup, { readers: 16, reads: 24, seed, mode })
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', mode === undefined ? 'inherit' : 'pipe'] })
}

async function layerState(mount: Mounted): Promise<string | undefined> {
  return (await statusOf(mount)).images[0]?.layers[0]?.state
}

async function gone(path: string): Promise<void> {
  for (let times = 0; findMount(path) !== undefined; times++) {
    assert.ok(times < 1000, `${path} is still mounted`)
    await sleep(50)
  }
}

test(
  '16 readers at random places read the right bytes, during and after the first pass',
  options,
  async (t) => {
    const setup = await setUp(t, 1_500_000)
    const during = readAtRandom(setup, 1)
    await once(during.stdout ?? during, 'data')
    assert.equal(await exited(during), 0)
    setup.registry.faults = {}
    assert.equal(await sha256sum(setup.disk), sha256Of(disk))
    await untilReady(setup.mount)
    assert.equal(await exited(readAtRandom(setup, 2)), 0)
    assert.equal(await setup.mount.stop(), 0)

    // With the index alone: every byte comes by a request of its own and from the middle of the layer.
    await output('rm', '-r', join(setup.cache, 'chunks'))
    const mount = await mountImages(t, { cache: setup.cache, images: [`d=${setup.registry.host}/disk:v1`] })
    const again = { ...setup, mount, disk: join(mount.path, 'd/disk/downloaded') }
    assert.equal(await exited(readAtRandom(again, 3)), 0)
    assert.equal(await layerState(mount), 'ready')
    assert.deepEqual(complaints(setup.mount.log() + mount.log()), [])
  },
)

test('16 readers in a small memory budget read the right bytes', options, async (t) => {
  const setup = await setUp(t, undefined)
  await setup.mount.stop()
  const mount = await mountImages(t, {
    cache: setup.cache,
    images: [`d=${setup.registry.host}/disk:v1`],
    flags: ['--memory', '8M'],
  })
  assert.equal(await exited(readAtRandom({ ...setup, disk: join(mount.path, 'd/disk/downloaded') }, 4)), 0)
  assert.deepEqual(complaints(mount.log()), [])
})

test('readers that are killed in the middle leave the daemon well', options, async (t) => {
  const setup = await setUp(t, 2_000_000)
  for (let seed = 1; seed <= 5; seed++) {
    const readers = readAtRandom(setup, seed, 'read-on')
    await sleep(300 * seed)
    readers.kill('SIGKILL')
    await exited(readers)
  }
  // Waiting for the end of the layer, which is far away.
  const waiting = spawn('tail', ['-c', '1', setup.disk], { stdio: 'ignore' })
  await sleep(500)
  waiting.kill('SIGKILL')
  await exited(waiting)
  setup.registry.faults = {}
  assert.equal(await sha256sum(setup.disk), sha256Of(disk))
  const readers = readAtRandom(setup, 6, 'read-on')
  await once(readers.stdout ?? readers, 'data')
  readers.kill('SIGKILL')
  await exited(readers)
  assert.equal(await exited(readAtRandom(setup, 7)), 0)
  assert.equal(await setup.mount.stop(), 0)
  assert.deepEqual(complaints(setup.mount.log()), [])
})

test('umount of a mount that is being read says so; with --lazy the readers may end', options, async (t) => {
  const setup = await setUp(t, undefined)
  assert.equal(await sha256sum(setup.disk), sha256Of(disk))
  const readers = readAtRandom(setup, 1, 'read-on')
  t.after(() => readers.kill('SIGKILL'))
  await once(readers.stdout ?? readers, 'data')
  const busy = await run(process.execPath, [program, 'umount', setup.mount.path])
  assert.equal(busy.code, 8)
  assert.match(busy.stderr, /^registryfs: .* is busy.*\n$/)
  const lazy = await run(process.execPath, [program, 'umount', '--lazy', setup.mount.path])
  assert.deepEqual([lazy.code, lazy.stderr], [0, ''])
  await gone(setup.mount.path)
  // Whoever has it open reads on.
  await sleep(500)
  assert.equal(readers.exitCode, null)
  readers.kill('SIGKILL')
  assert.equal(await setup.mount.exited, 0)
  assert.deepEqual(complaints(setup.mount.log()), [])
})

test('SIGTERM while the mount is being read ends it soon', options, async (t) => {
  const setup = await setUp(t, undefined)
  const readers = readAtRandom(setup, 1, 'read-on')
  t.after(() => readers.kill('SIGKILL'))
  let said = ''
  readers.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await once(readers.stdout ?? readers, 'data')
  assert.equal(await setup.mount.stop(), 0)
  assert.equal(findMount(setup.mount.path), undefined)
  assert.equal(await exited(readers), 1)
  // An error, never wrong bytes or an early end.
  assert.match(said, /^Error: (ENOTCONN|ECONNABORTED|EIO|EINTR):/)
})

test(
  'SIGTERM in a first pass ends it soon, without a mount, with a journal to go on from',
  options,
  async (t) => {
    const setup = await setUp(t, 1_000_000)
    const waiting = run('ls', [join(setup.mount.path, 'd/disk')], 60_000)
    for (;;) {
      const status = await statusOf(setup.mount)
      // Past the first checkpoint, which comes after 32 MiB of tar.
      if ((status.images[0]?.layers[0]?.frontierUncompressed ?? 0) > 34 << 20) break
      await sleep(100)
    }
    // The rest of the layer would take hours.
    setup.registry.faults.bytesPerSecond = 100
    assert.equal(await layerState(setup.mount), 'reading')
    assert.equal(await setup.mount.stop(), 0)
    assert.equal(findMount(setup.mount.path), undefined)
    assert.notEqual((await waiting).code, 0)
    const names = await readdir(join(setup.cache, 'indexes/sha256'))
    assert.equal(names.length, 1)
    assert.match(names[0] ?? '', /\.journal$/)
    assert.deepEqual(complaints(setup.mount.log()), [])
    setup.registry.faults = {}
    const indexed = await registryfs(setup, 'index', `${setup.registry.host}/disk:v1`)
    assert.deepEqual([indexed.code, indexed.stderr], [0, ''])
    const after = await readdir(join(setup.cache, 'indexes/sha256'))
    assert.equal(after.length, 1)
    assert.match(after[0] ?? '', /\.idx$/)
  },
)
