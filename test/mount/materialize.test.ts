import assert from 'node:assert/strict'
import { mkdir, open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { BytesBlob } from '../../src/blob/bytes-blob.js'
import { MemoryCache } from '../../src/blob/memory-cache.js'
import { MemberCopies } from '../../src/layer/member-copies.js'
import { digestOf } from '../../src/util/digest.js'
import { silentLogger } from '../../src/util/log.js'
import { containerdisk } from '../support/containerdisk.js'
import { dataOf } from '../support/data-ranges.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { heldShell } from '../support/held-shell.js'
import { gzipLayer } from '../support/images.js'
import { output, type Mounted } from '../support/mounted.js'
import { hasPassthrough } from '../support/passthrough.js'
import { complaints, mountImages, sha256Of, sha256sum, statusOf } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { file, tarOf } from '../support/tar-of.js'
import { memberStore } from '../support/member-store.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 180_000 }

interface Materialized {
  readonly files: number
  readonly bytes: number
  readonly copied: number
  readonly pending: number
  readonly opens: number
  readonly passthroughOpens: number
  readonly error?: string
}

async function materialized(mount: Mounted): Promise<Materialized> {
  // The status is made anew every second or two.
  await sleep(2_100)
  const status = (await statusOf(mount)) as unknown as { materialized: Materialized }
  return status.materialized
}

/** Waits until nothing is being copied or checked. */
async function settled(mount: Mounted, is: (now: Materialized) => boolean): Promise<Materialized> {
  for (;;) {
    const now = await materialized(mount)
    if (now.pending === 0 && is(now)) return now
  }
}

async function inflated(mount: Mounted): Promise<number> {
  const { images } = await statusOf(mount)
  return images.flatMap(({ layers }) => layers).reduce((sum, { spansInflated }) => sum + spansInflated, 0)
}

/** An image whose only layer has these files. */
async function registryOf(t: TestContext, files: Readonly<Record<string, Buffer>>): Promise<FakeRegistry> {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  const tar = tarOf(...Object.entries(files).map(([name, bytes]) => file(name, bytes)))
  registry.addImage('disk', 'latest', { layers: [gzipLayer(tar)] })
  return registry
}

/** Below a cache directory, names of those that are whole. */
async function kept(cache: string): Promise<readonly string[]> {
  const names = await readdir(join(cache, 'members'), { recursive: true }).catch(() => [])
  return names.filter((name) => /\/\d+-\d+$/.test(name))
}

for (const { binding, passthrough } of [
  { binding: 'native', passthrough: hasPassthrough() },
  { binding: 'fuse-native', passthrough: false },
] as const) {
  test(
    `with ${binding} a member that was read is a file of its own afterwards, with the same bytes and holes`,
    options,
    async (t) => {
      const disk = await containerdisk('raw')
      const registry = await FakeRegistry.start()
      t.after(async () => registry.stop())
      registry.addImage('disk', 'latest', {
        layers: [gzipLayer(tarOf(file('disk', await readFile(disk.disk))))],
      })
      const directory = await temporaryDirectory(t)
      const cache = join(directory, 'cache')
      const mountOptions = {
        cache,
        images: [`d=${registry.host}/disk`],
        flags: ['--materialize', '1G', '--free-reserve', '0', '--binding', binding],
      }
      const mount = await mountImages(t, mountOptions)
      const path = join(mount.path, 'd/disk')
      const expected = await sha256sum(disk.disk)
      assert.equal(await sha256sum(path), expected)
      const made = await settled(mount, ({ copied }) => copied === 1)
      const holes = await dataOf(path)
      const { size } = await stat(disk.disk)
      assert.ok(made.bytes > 18 << 20 && made.bytes < size, String(made.bytes))
      const before = await inflated(mount)
      assert.equal(await sha256sum(path), expected)
      const after = await settled(mount, () => true)
      assert.equal(await inflated(mount), before)
      // Of those of dataOf too.
      assert.equal(after.passthroughOpens, passthrough ? after.opens : 0)
      assert.ok(after.opens >= 1)
      assert.equal(await mount.stop(), 0)

      // The next process reads it once before the kernel may, and asks the registry for nothing but the tag.
      const next = await mountImages(t, mountOptions)
      const again = join(next.path, 'd/disk')
      const copy = join(directory, 'copy.raw')
      await output('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', again, copy)
      await output('cmp', disk.disk, copy)
      assert.deepEqual(await dataOf(again), holes)
      await settled(next, ({ opens }) => opens > 0)
      await output('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', again, copy)
      await output('cmp', disk.disk, copy)
      assert.equal(await sha256sum(again), expected)
      assert.deepEqual(await dataOf(again), holes)
      assert.equal((await materialized(next)).passthroughOpens > 0, passthrough)
      assert.equal(await inflated(next), 0)
      assert.equal((await statusOf(next)).requests.blobRequests, 0)
      assert.equal(await next.stop(), 0)
      assert.deepEqual([...complaints(mount.log()), ...complaints(next.log())], [])
    },
  )
}

test(
  'handles of one file that were opened before and after it was kept read the same',
  options,
  async (t) => {
    const bytes = sampleData('text', 6 << 20)
    const registry = await registryOf(t, { f: bytes })
    const cache = join(await temporaryDirectory(t), 'cache')
    const images = [`d=${registry.host}/disk`]
    const mount = await mountImages(t, {
      cache,
      images,
      flags: ['--materialize', '1G', '--free-reserve', '0'],
    })
    const path = join(mount.path, 'd/f')
    const early = await heldShell(
      t,
      `exec 3< ${path}; dd bs=1M count=2 status=none <&3 >/dev/null`,
      'sha256sum <&3',
    )
    await settled(mount, ({ copied }) => copied === 1)
    // The kernel reads an inode in one way at a time: the one that is open decides.
    const late = await heldShell(t, `exec 3< ${path}`, 'sha256sum <&3')
    assert.equal(await sha256sum(path), sha256Of(bytes))
    assert.equal((await materialized(mount)).passthroughOpens, 0)
    assert.equal((await early.goOn()).slice(0, 64), sha256Of(bytes.subarray(2 << 20)))
    assert.equal((await late.goOn()).slice(0, 64), sha256Of(bytes))
    const through = await heldShell(t, `exec 3< ${path}`, 'sha256sum <&3')
    assert.equal(await sha256sum(path), sha256Of(bytes))
    await output('cmp', '-i', '4097', path, path)
    assert.equal((await through.goOn()).slice(0, 64), sha256Of(bytes))
    assert.equal((await materialized(mount)).passthroughOpens >= 2, hasPassthrough())
    assert.equal(await mount.stop(), 0)
    assert.deepEqual(complaints(mount.log()), [])
  },
)

test(
  'a tag that moves leads to the new bytes, the old ones stay with who has them open',
  options,
  async (t) => {
    const [old, now] = [sampleData('text', 3 << 20), sampleData('text', 3 << 20, 7)]
    const registry = await registryOf(t, { f: old })
    const cache = join(await temporaryDirectory(t), 'cache')
    const mount = await mountImages(t, {
      cache,
      images: [`d=${registry.host}/disk`],
      flags: ['--materialize', '1G', '--free-reserve', '0', '--tag-ttl', '1s'],
    })
    const path = join(mount.path, 'd/f')
    assert.equal(await sha256sum(path), sha256Of(old))
    await settled(mount, ({ copied }) => copied === 1)
    const held = await heldShell(t, `exec 3< ${path}`, 'sha256sum <&3')
    registry.addImage('disk', 'latest', { layers: [gzipLayer(tarOf(file('f', now)))] })
    assert.equal((await held.goOn()).slice(0, 64), sha256Of(old))
    while ((await sha256sum(path)) !== sha256Of(now)) await sleep(500)
    await settled(mount, ({ copied }) => copied === 2)
    assert.equal(await sha256sum(path), sha256Of(now))
    assert.equal((await kept(cache)).length, 2)
    assert.equal(await mount.stop(), 0)
  },
)

test(
  'the quota holds: the member that was used least recently goes, never one that is open',
  options,
  async (t) => {
    const files = Object.fromEntries(
      ['a', 'b', 'c', 'd'].map((name, n) => [name, sampleData('random', 2 << 20, n + 1)]),
    )
    const registry = await registryOf(t, files)
    const cache = join(await temporaryDirectory(t), 'cache')
    const mount = await mountImages(t, {
      cache,
      images: [`d=${registry.host}/disk`],
      flags: ['--materialize', '5M', '--free-reserve', '0'],
    })
    const read = async (name: string): Promise<void> => {
      assert.equal(await sha256sum(join(mount.path, 'd', name)), sha256Of(files[name] as Buffer))
    }
    await read('a')
    await settled(mount, ({ copied }) => copied === 1)
    const held = await heldShell(t, `exec 3< ${join(mount.path, 'd/a')}`, 'sha256sum <&3')
    for (const [n, name] of ['b', 'c', 'd'].entries()) {
      await read(name)
      const now = await settled(mount, ({ copied }) => copied === n + 2)
      assert.ok(now.bytes <= 5 << 20 && now.files === 2, JSON.stringify(now))
    }
    assert.equal((await held.goOn()).slice(0, 64), sha256Of(files.a as Buffer))
    for (const name of ['a', 'b', 'c', 'd']) await read(name)
    assert.equal(await mount.stop(), 0)
    assert.deepEqual(complaints(mount.log()), [])
  },
)

test('on a full disk nothing is kept, and every byte is read all the same', options, async (t) => {
  const bytes = sampleData('random', 12 << 20)
  const registry = await registryOf(t, { f: bytes })
  const disk = join(await temporaryDirectory(t), 'small')
  await mkdir(disk)
  await output('mount', '-t', 'tmpfs', '-o', 'size=20M', 'small', disk)
  t.after(async () => output('umount', '-l', disk))
  const cache = join(disk, 'cache')
  for (const [quota, reason] of [
    ['1G', /reserve|ENOSPC/],
    ['8M', undefined],
  ] as const) {
    const mount = await mountImages(t, {
      cache,
      images: [`d=${registry.host}/disk`],
      flags: ['--materialize', quota, '--free-reserve', '0'],
    })
    const path = join(mount.path, 'd/f')
    for (let n = 0; n < 2; n++) assert.equal(await sha256sum(path), sha256Of(bytes))
    const now = await settled(mount, () => true)
    assert.deepEqual([now.files, now.bytes, now.copied], [0, 0, 0])
    if (reason !== undefined) assert.match(now.error ?? '', reason)
    assert.equal(await sha256sum(path), sha256Of(bytes))
    assert.equal(await mount.stop(), 0)
    assert.deepEqual(await kept(cache), [])
    const left = await readdir(join(cache, 'members'), { recursive: true })
    assert.deepEqual(
      left.filter((name) => /tmp|sums/.test(name)),
      [],
    )
  }
})

test(
  'a file that was damaged is found out and dropped, whether it is read by us or by the kernel',
  options,
  async (t) => {
    const bytes = sampleData('text', 8 << 20)
    const registry = await registryOf(t, { f: bytes })
    const cache = join(await temporaryDirectory(t), 'cache')
    const mountOptions = {
      cache,
      images: [`d=${registry.host}/disk`],
      flags: ['--materialize', '1G', '--free-reserve', '0'],
    }
    for (const at of [0, (8 << 20) - 1]) {
      const mount = await mountImages(t, mountOptions)
      assert.equal(await sha256sum(join(mount.path, 'd/f')), sha256Of(bytes))
      await settled(mount, ({ files }) => files === 1)
      assert.equal(await mount.stop(), 0)
      const [name = ''] = await kept(cache)
      const damaged = await open(join(cache, 'members', name), 'r+')
      await damaged.write(Buffer.of((bytes[at] ?? 0) ^ 1), 0, 1, at)
      await damaged.close()

      const next = await mountImages(t, mountOptions)
      const path = join(next.path, 'd/f')
      // One that reads only its other end: what the kernel could read is checked in the background.
      await output(
        'dd',
        `if=${path}`,
        'of=/dev/null',
        'bs=4k',
        'count=1',
        `skip=${at === 0 ? '2047' : '0'}`,
        'status=none',
      )
      if (!hasPassthrough()) assert.equal(await sha256sum(path), sha256Of(bytes))
      await settled(next, ({ files }) => files === 0)
      assert.equal(await sha256sum(path), sha256Of(bytes))
      assert.match(next.log(), /file is damaged/)
      await settled(next, ({ files }) => files === 1)
      assert.equal(await sha256sum(path), sha256Of(bytes))
      assert.equal(await next.stop(), 0)
    }
  },
)

test(
  'a disk that fills in the middle of a copy is left alone for a while, with nothing of it',
  options,
  async (t) => {
    const disk = join(await temporaryDirectory(t), 'small')
    await mkdir(disk)
    await output('mount', '-t', 'tmpfs', '-o', 'size=6M', 'small', disk)
    t.after(async () => output('umount', '-l', disk))
    const { pool } = new MemoryCache(32 << 20)
    const store = await memberStore(join(disk, 'members'), { pool })
    const copies = new MemberCopies({ store, pool, log: silentLogger })
    const layer = { isProven: true, isTar: true, ready: async () => Promise.resolve() }
    const source = new BytesBlob(sampleData('random', 9 << 20))
    const place = { layer: digestOf(Buffer.from('a layer')), offset: 512, size: source.size }
    // Said to be all holes: others fill a disk too.
    const opened = await copies.open({
      place,
      layer,
      source,
      settle: async () => Promise.resolve(),
      dataBytes: () => 0,
    })
    await opened.read(0, 1 << 20)
    while (copies.status().pending > 0) await sleep(10)
    assert.match(copies.status().error ?? '', /ENOSPC/)
    assert.deepEqual(
      (await readdir(disk, { recursive: true })).filter((name) => /\d+-\d+/.test(name)),
      [],
    )
    assert.equal(await store.create(place, 0), undefined)
    assert.equal((await opened.read(0, 1 << 20)).length, 1 << 20)
  },
)
