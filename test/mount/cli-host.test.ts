import assert from 'node:assert/strict'
import { chmod, chown, mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMount } from '../../src/fuse/mountinfo.js'
import { packageRoot } from '../../src/util/package-root.js'
import { cachedOnDisk, indexedOnDisk } from '../support/cached-bytes.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { emptyMountPoint, output, run, type Ran } from '../support/mounted.js'
import { mountImages, program, registryfs, sha256Of, sha256sum, statusOf } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }
const isRoot = process.getuid?.() === 0
const asRoot = { ...options, skip: isRoot ? false : 'needs root' }
const disk = sampleData('mixed', 6 << 20)
const layer = gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', disk)))

async function registryWithDisk(t: TestContext): Promise<FakeRegistry> {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  return registry
}

function assertRefused(ran: Ran, code: number, line: RegExp): void {
  assert.equal(ran.code, code, ran.stderr)
  assert.equal(ran.stdout, '')
  assert.match(ran.stderr, /^registryfs: [^\n]+\n$/)
  assert.match(ran.stderr, line)
}

/** A file system of 1 MiB of its own. */
async function tinyDirectory(t: TestContext): Promise<string> {
  const mounts: string[] = []
  // Before the hook that removes what it lies in.
  t.after(async () => {
    for (const path of mounts) await run('umount', ['-l', path])
  })
  const directory = join(await temporaryDirectory(t), 'cache')
  await mkdir(directory, { mode: 0o700 })
  await output('mount', '-t', 'tmpfs', '-o', 'size=1m,mode=700', 'registryfs-test', directory)
  mounts.push(directory)
  return directory
}

test('a mount point that cannot be one', options, async (t) => {
  const files = await temporaryDirectory(t)
  const cache = join(files, 'cache')
  const mount = async (path: string): Promise<Ran> => registryfs({ cache }, 'mount', path)
  await writeFile(join(files, 'file'), '')
  await symlink('nowhere', join(files, 'dangling'))
  assertRefused(await mount(join(files, 'none')), 8, /mount point \S+none does not exist/)
  assertRefused(await mount(join(files, 'none/deeper')), 8, /does not exist/)
  assertRefused(await mount(join(files, 'dangling')), 8, /does not exist/)
  assertRefused(await mount(join(files, 'file')), 8, /mount point \S+file is not a directory/)
  assertRefused(await mount(join(files, 'file/below')), 8, /is not a directory/)
  assertRefused(await mount(files), 8, /is not empty \(--nonempty/)
  assertRefused(await mount('/'), 8, /the root directory cannot be the mount point/)
  assertRefused(await mount('/proc'), 8, /\/proc is already a mount point \(proc\)/)
})

test('a place that is mounted already', options, async (t) => {
  const cache = join(await temporaryDirectory(t), 'cache')
  const first = await mountImages(t, { cache })
  for (const flags of [[], ['--nonempty'], ['--daemon', '--log-file', '/dev/null']]) {
    const again = await registryfs({ cache: `${cache}-2` }, 'mount', ...flags, first.path)
    assertRefused(again, 8, /is already mounted: registryfs umount /)
  }
  const log = `${cache}.log`
  const flags = ['--daemon', '--log-file', log, '--log-format', 'json']
  assertRefused(
    await registryfs({ cache: `${cache}-2` }, 'mount', ...flags, first.path),
    8,
    /already mounted/,
  )
  const lines = (await readFile(log, 'utf8')).trim().split('\n')
  const last = lines.map((line) => JSON.parse(line) as { level: number; msg: string }).at(-1)
  assert.equal(last?.level, 50)
  assert.match(last.msg, /is already mounted: registryfs umount /)
  assert.equal(await first.stop(), 0)
})

test('no /dev/fuse', asRoot, async (t) => {
  const path = await emptyMountPoint(t)
  const cache = join(await temporaryDirectory(t), 'cache')
  const hide = 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9'
  const command = `${hide} && exec "$0" "$@"`
  for (const flags of [[], ['--daemon', '--log-file', `${cache}.log`]]) {
    const args = [process.execPath, program, 'mount', ...flags, '--cache-dir', cache, path]
    const ran = await run('unshare', ['-m', 'sh', '-c', command, ...args], 60_000)
    assertRefused(ran, 8, /there is no \/dev\/fuse: modprobe fuse/)
  }
  assert.equal(findMount(path), undefined)
})

test('no permission for /dev/fuse', asRoot, async (t) => {
  const path = await emptyMountPoint(t)
  const files = await temporaryDirectory(t)
  for (const one of [path, files]) await chown(one, 65_534, 65_534)
  const device = join(files, 'fuse')
  await writeFile(device, '')
  await chmod(device, 0o600)
  await chown(device, 0, 0)
  // A checkout below /root is nothing that others can read.
  const checkout = join(files, 'checkout')
  await mkdir(checkout)
  const command = `mount --bind ${device} /dev/fuse && mount --bind ${packageRoot} ${checkout} && exec env HOME=${files} setpriv --reuid=65534 --regid=65534 --clear-groups "$0" "$@"`
  const seen = join(checkout, relative(packageRoot, program))
  const args = [process.execPath, seen, 'mount', '--cache-dir', join(files, 'cache'), path]
  const ran = await run('unshare', ['-m', 'sh', '-c', command, ...args], 60_000)
  assertRefused(ran, 8, /no permission to open \/dev\/fuse/)
})

test('no libfuse is needed, but for its binding', asRoot, async (t) => {
  const path = await emptyMountPoint(t)
  const cache = join(await temporaryDirectory(t), 'cache')
  const libraries = (await output('ldconfig', '-p')).matchAll(/libfuse\.so\.2 .* => (\S+)/g)
  const paths = await Promise.all([...libraries].map(async ([, library = '']) => realpath(library)))
  assert.ok(paths.length > 0)
  const hide = [...new Set(paths)].map((library) => `mount --bind /dev/null ${library}`).join(' && ')
  const args = [process.execPath, program, 'mount', '--binding', 'fuse-native', '--cache-dir', cache, path]
  const ran = await run('unshare', ['-m', 'sh', '-c', `${hide} && exec "$0" "$@"`, ...args], 60_000)
  assertRefused(ran, 8, /libfuse2 is not installed: apt-get install libfuse2/)
  assert.equal(findMount(path), undefined)
})

test('a full cache directory costs the persistence, not the mount', asRoot, async (t) => {
  const registry = await registryWithDisk(t)
  const cache = await tinyDirectory(t)
  const mount = await mountImages(t, {
    cache,
    images: [`d=${registry.host}/disk:v1`],
    // Nothing kept in memory either, and no reserve that would stop writing before the disk is full.
    flags: ['--free-reserve', '0', '--memory', '4M'],
  })
  const path = join(mount.path, 'd/disk/downloaded')
  assert.equal(await sha256sum(path), sha256Of(disk))
  assert.equal(await sha256sum(path), sha256Of(disk))
  const status = await output('cat', join(mount.path, '.registryfs/status.json'))
  assert.match(status, /"diskError": "/)
  assert.equal(await mount.stop(), 0)
  assert.doesNotMatch(mount.log(), /"level":50/)
  assert.match(mount.log(), /"level":40.*(room|full|space)/i)
})

test('a cache directory without room for anything', asRoot, async (t) => {
  const registry = await registryWithDisk(t)
  const cache = await tinyDirectory(t)
  const filled = await run('dd', ['if=/dev/zero', `of=${join(cache, 'filler')}`, 'bs=4k'])
  assert.match(filled.stderr, /No space left/)
  const reference = `${registry.host}/disk:v1`
  const ran = await registryfs({ cache }, 'cat', reference, 'disk/downloaded')
  assert.equal(ran.code, 0)
  assert.match(ran.stderr, /^registryfs: nothing new is cached: [^\n]* ENOSPC[^\n]*\n$/)
  const mount = await mountImages(t, { cache, images: [`d=${reference}`] })
  assert.equal(await sha256sum(join(mount.path, 'd/disk/downloaded')), sha256Of(disk))
  assert.equal(await mount.stop(), 0)
  assert.match(mount.log(), /"level":40/)
  assertRefused(await registryfs({ cache }, 'index', reference), 8, /cannot be saved|no space|ENOSPC|full/i)
})

test('an unwritable cache directory costs the persistence, not the mount', asRoot, async (t) => {
  const registry = await registryWithDisk(t)
  const cache = await tinyDirectory(t)
  await output('mount', '-o', 'remount,ro', cache)
  const reference = `${registry.host}/disk:v1`
  const mount = await mountImages(t, { cache, images: [`d=${reference}`] })
  assert.equal(await sha256sum(join(mount.path, 'd/disk/downloaded')), sha256Of(disk))
  assert.match(
    mount.log(),
    /"level":40.*the cache directory .* cannot be used: .*going on without writing to it/,
  )
  const status = await output('cat', join(mount.path, '.registryfs/status.json'))
  assert.match(status, /"readOnly": "the cache directory .* cannot be used/)
  assert.equal(await mount.stop(), 0)
  assert.doesNotMatch(mount.log(), /"level":50/)

  const listed = await registryfs({ cache }, 'ls', reference, 'disk')
  assert.deepEqual([listed.code, listed.stdout], [0, 'downloaded\n'])
  assert.match(listed.stderr, /^registryfs: nothing new is cached: [^\n]+ cannot be used: [^\n]+\n$/)
  assertRefused(
    await registryfs({ cache }, 'index', reference),
    8,
    /an index has nowhere to go: .*cannot be used/,
  )
})

test('a cache directory that is a file, that cannot be made, or others may write to', options, async (t) => {
  const registry = await registryWithDisk(t)
  const files = await temporaryDirectory(t)
  const reference = `${registry.host}/disk:v1`
  await writeFile(join(files, 'file'), '')
  await mkdir(join(files, 'open'))
  await chmod(join(files, 'open'), 0o777)
  for (const name of ['file', 'open', 'file/below', '/proc/registryfs/below']) {
    const cache = resolve(files, name)
    const listed = await registryfs({ cache }, 'ls', reference, 'disk')
    assert.deepEqual([listed.code, listed.stdout], [0, 'downloaded\n'], name)
    assert.match(
      listed.stderr,
      /^registryfs: nothing new is cached: the cache directory \S+ cannot be used: [^\n]+\n$/,
    )
    const logged = await registryfs({ cache }, 'ls', reference, '--log-level', 'warn', '--log-format', 'json')
    assert.doesNotMatch(logged.stderr, /^registryfs/)
    assert.match(logged.stderr, /going on without writing to it/)
    assertRefused(await registryfs({ cache }, 'index', reference), 8, /cannot be used/)
  }
})

test(
  'a mount says on stderr that nothing is cached, also where its log goes to a file',
  options,
  async (t) => {
    const files = await temporaryDirectory(t)
    const cache = join(files, 'open')
    await mkdir(cache)
    await chmod(cache, 0o1777)
    const says =
      /registryfs: nothing new is cached: the cache directory \S+ cannot be used: others may write to it \(chmod go-w\)/
    const flags = ['--log-file', join(files, 'log')]
    const mount = await mountImages(t, { cache, flags })
    assert.match(mount.log(), says)
    assert.equal(await mount.stop(), 0)
    const path = await emptyMountPoint(t)
    const daemon = await registryfs({ cache }, 'mount', '--daemon', ...flags, path)
    assert.equal(daemon.code, 0)
    assert.match(daemon.stderr, says)
    await output('umount', path)
  },
)

test('a cache that another registryfs writes to is only read', options, async (t) => {
  const registry = await registryWithDisk(t)
  const cache = join(await temporaryDirectory(t), 'cache')
  const reference = `${registry.host}/disk:v1`
  const writer = await mountImages(t, { cache, images: [`d=${reference}`] })
  assert.equal(await sha256sum(join(writer.path, 'd/disk/downloaded')), sha256Of(disk))
  await cachedOnDisk(cache, () => layer.bytes.length)
  await indexedOnDisk(cache, 1)
  registry.forgetRequests()
  const reader = await mountImages(t, { cache, images: [`d=${reference}`] })
  assert.match(reader.log(), new RegExp(`in use by another registryfs \\(pid ${String(writer.pid)}\\)`))
  assert.equal(await sha256sum(join(reader.path, 'd/disk/downloaded')), sha256Of(disk))
  assert.equal((await statusOf(reader)).requests.blobRequests, 0)
  assertRefused(
    await registryfs({ cache }, 'index', reference),
    8,
    new RegExp(`an index has nowhere to go: .* in use by another registryfs \\(pid ${String(writer.pid)}\\)`),
  )
  assert.equal(await writer.stop(), 0)
  assert.equal(await reader.stop(), 0)
  const indexed = await registryfs({ cache }, 'index', reference)
  assert.deepEqual([indexed.code, indexed.stderr], [0, ''])
})

test('a mount takes the cache directory over when the process that had it has ended', options, async (t) => {
  const registry = await registryWithDisk(t)
  const cache = join(await temporaryDirectory(t), 'cache')
  const images = [`d=${registry.host}/disk:v1`]
  const writer = await mountImages(t, { cache, images })
  const reader = await mountImages(t, { cache, images })
  const holder = async (): Promise<string> =>
    /"readOnly": "[^"]*\(pid (\d+)\)"/.exec(
      await output('cat', join(reader.path, '.registryfs/status.json')),
    )?.[1] ?? ''
  assert.equal(await holder(), String(writer.pid))
  // After the reader has looked at what is there.
  assert.equal(await sha256sum(join(writer.path, 'd/disk/downloaded')), sha256Of(disk))
  await indexedOnDisk(cache, 1)
  assert.equal(await writer.stop(), 0)
  for (let times = 0; (await holder()) !== ''; times++) {
    assert.ok(times < 400, 'it is never taken over')
    await sleep(200)
  }
  assert.match(reader.log(), /the cache directory can be written to now/)
  registry.forgetRequests()
  assert.equal(await sha256sum(join(reader.path, 'd/disk/downloaded')), sha256Of(disk))
  assert.equal((await statusOf(reader)).requests.blobRequests, 0)
  assert.match(
    (await registryfs({ cache }, 'index', images[0]?.slice(2) ?? '')).stderr,
    new RegExp(`in use by another registryfs \\(pid ${String(reader.pid)}\\)`),
  )
  assert.equal(await reader.stop(), 0)
})

test('what the command line does not know', options, async (t) => {
  const cache = join(await temporaryDirectory(t), 'cache')
  const usage: readonly (readonly string[])[] = [
    ['ls', '--bogus', 'x'],
    ['ls', 'UPPER/case'],
    ['ls', 'x', 'y', 'z'],
    ['cat', 'x'],
    ['cat', 'x', 'y', '--offset', '-1'],
    ['cat', 'x', 'y', '--length', '1Q'],
    ['ls', '--platform', 'a/b/c/d', 'x'],
    ['ls', '--log-level', 'loud', 'x'],
    ['mount', '/tmp', '--platform', 'linux'],
    ['mount', '/tmp', '--ca-file', '/nowhere/ca.crt'],
    ['mount', '/tmp', '--ca-file', program],
    ['mount', '/tmp', '--hosts-dir', '/nowhere'],
    ['mount', '/tmp', '--hosts-dir', program],
    ['mount', '/tmp', '--memory', '0'],
    ['mount', '/tmp', '--read-deadline', '0s'],
    ['mount', '/tmp', '--stall', '0'],
    ['mount', '/tmp', '--host', 'no host'],
    ['mount', '/tmp', '--registry', 'https://quay.io'],
    ['mount', '--daemon', '--log-file', '/dev/null', '/tmp', '--memory', '0'],
    ['index'],
    ['inspect'],
    ['bogus'],
    ['mount', '-o', 'bogus', '/tmp'],
    ['mount', '-o', 'cache_size=much', '/tmp'],
  ]
  for (const words of usage) {
    const { code, stderr, stdout } = await registryfs({ cache }, ...words)
    assert.equal(code, 2, `${words.join(' ')}: ${stderr}`)
    assert.equal(stdout, '')
    // commander adds a hint in brackets on a line of its own.
    const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('('))
    assert.equal(lines.length, 1, stderr)
    assert.match(stderr, /^(registryfs|error): /)
    assert.doesNotMatch(stderr, /\n\s+at /)
  }
})
