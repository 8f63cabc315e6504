import assert from 'node:assert/strict'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { KernelMount } from '../../src/fuse/kernel-mount.js'
import { findMount, readMountInfo, type MountInfo } from '../../src/fuse/mountinfo.js'
import { pino } from 'pino'
import { mountMemory, run, type Mounted } from '../support/mounted.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }

/** Mounts of other tests may take the number that has become free. */
const maxTries = 20

interface Watched {
  readonly mount: Mounted
  readonly kernel: KernelMount
  readonly info: MountInfo
  readonly complaints: string[]
}

async function watched(t: TestContext): Promise<Watched> {
  const mount = await mountMemory(t)
  const complaints: string[] = []
  const log = pino({ level: 'warn' }, { write: (line) => complaints.push(line) })
  const info = findMount(mount.path)
  assert.ok(info)
  return { mount, kernel: new KernelMount(mount.path, log), info, complaints }
}

test('a mount that got the number of one that has ended is not taken for it', options, async (t) => {
  for (let tries = 0; tries < maxTries; tries++) {
    const { mount, kernel, info, complaints } = await watched(t)
    assert.equal(await mount.stop(), 0)
    const next = await mountMemory(t, { mountPoint: mount.path })
    const there = findMount(next.path)
    const isSameNumber = there?.id === info.id && there.device === info.device
    await kernel.unmount({ lazy: true })
    assert.equal(await kernel.clear(), 'unmounted')
    assert.deepEqual(complaints, [])
    assert.deepEqual(findMount(next.path), there)
    assert.equal(await next.stop(), 0)
    if (isSameNumber) return
  }
  assert.fail('the kernel never gave a number again')
})

test('nor is one that got its number at another place', options, async (t) => {
  for (let tries = 0; tries < maxTries; tries++) {
    const { mount, kernel, info, complaints } = await watched(t)
    assert.equal(await mount.stop(), 0)
    const next = await mountMemory(t)
    const isSameNumber = readMountInfo().find(({ id }) => id === info.id)?.mountPoint === next.path
    assert.equal(await kernel.clear(), 'unmounted')
    assert.deepEqual(complaints, [])
    assert.ok(findMount(next.path))
    assert.equal(await next.stop(), 0)
    if (isSameNumber) return
  }
  assert.fail('the kernel never gave a number again')
})

test('a mount whose daemon is gone is cleared away', options, async (t) => {
  const { mount, kernel, complaints } = await watched(t)
  await mount.kill9()
  assert.ok(findMount(mount.path))
  assert.equal(await kernel.clear(), 'aborted')
  assert.equal(findMount(mount.path), undefined)
  assert.deepEqual(complaints, [])
  assert.equal((await run('ls', [mount.path])).code, 0)
})

test(
  'a mount is taken away from where it is, when a directory above it got another name',
  options,
  async (t) => {
    const directory = await temporaryDirectory(t)
    const before = join(directory, 'before', 'mount')
    await mkdir(before, { recursive: true })
    const after = join(directory, 'after', 'mount')
    t.after(async () => run('umount', ['-l', after]))
    const mount = await mountMemory(t, { mountPoint: before })
    await rename(join(directory, 'before'), join(directory, 'after'))
    assert.ok(findMount(after))
    assert.equal(await mount.stop(), 0)
    assert.equal(findMount(after), undefined)
  },
)
