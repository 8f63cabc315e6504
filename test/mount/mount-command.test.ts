import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { findMount } from '../../src/fuse/mountinfo.js'
import { heldShell } from '../support/held-shell.js'
import { emptyMountPoint, mounted, output, run, type Mounted, type Ran } from '../support/mounted.js'
import { program } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

// No test here needs a registry: a mount starts without one.
const options = { timeout: 60_000 }

async function registryfs(...args: string[]): Promise<Ran> {
  return run(process.execPath, [program, ...args])
}

async function foreground(t: TestContext, ...args: string[]): Promise<Mounted> {
  return mounted(t, { command: [program, 'mount', '--cache-dir', await temporaryDirectory(t), ...args] })
}

async function gone(path: string): Promise<void> {
  for (let times = 0; findMount(path) !== undefined; times++) {
    assert.ok(times < 1000, `${path} is still mounted`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test('mount stays in the foreground until Ctrl-C', options, async (t) => {
  const mount = await foreground(t)
  assert.equal((await output('ls', '-A', mount.path)).trim(), '.registryfs')
  mount.signal('SIGINT')
  assert.equal(await mount.exited, 0)
  assert.match(mount.log(), /mounted/)
})

test('a busy mount is given a moment after SIGTERM, a second signal ends it at once', options, async (t) => {
  const mount = await foreground(t)
  const user = await heldShell(t, `cd ${mount.path}`)
  mount.signal('SIGTERM')
  await gone(mount.path)
  // It ends with 0 when the moment is over.
  mount.signal('SIGTERM')
  assert.equal(await mount.exited, 130)
  await user.goOn()
})

test('umount unmounts, also through a symbolic link', options, async (t) => {
  const mount = await foreground(t)
  const link = join(await temporaryDirectory(t), 'link')
  await symlink(mount.path, link)
  assert.equal((await registryfs('umount', link)).code, 0)
  assert.equal(await mount.exited, 0)
  const again = await registryfs('umount', mount.path)
  assert.equal(again.code, 8)
  assert.match(again.stderr, /^registryfs: .* is not a registryfs mount\n$/)
})

test('umount clears the mount of a daemon that was killed', options, async (t) => {
  const mount = await foreground(t)
  await mount.kill9()
  assert.equal((await registryfs('umount', mount.path)).code, 0)
  assert.equal(findMount(mount.path), undefined)
})

test('umount of what does not exist says so', options, async (t) => {
  const path = join(await temporaryDirectory(t), 'none')
  const ran = await registryfs('umount', path)
  assert.deepEqual([ran.code, ran.stderr], [8, `registryfs: ${path} does not exist\n`])
})

test('umount of a busy mount fails, with --lazy it goes', options, async (t) => {
  const mount = await foreground(t)
  const user = await heldShell(t, `cd ${mount.path}`)
  assert.match((await registryfs('umount', mount.path)).stderr, /is busy \(registryfs umount --lazy /)
  assert.equal((await registryfs('umount', '--lazy', mount.path)).code, 0)
  await gone(mount.path)
  await user.goOn()
  assert.equal(await mount.exited, 0)
})

test('--daemon returns when the mount answers, and logs to its file', options, async (t) => {
  const path = await emptyMountPoint(t)
  const files = await temporaryDirectory(t)
  const log = join(files, 'log')
  const args = ['mount', '--daemon', '--log-file', log, '--cache-dir', files, path, 'f=quay.io/x:1']
  const ran = await registryfs(...args)
  assert.deepEqual([ran.code, ran.stdout, ran.stderr], [0, '', ''])
  assert.deepEqual((await output('ls', path)).trim(), 'f')
  assert.match(await readFile(log, 'utf8'), /"msg":"mounted"/)
  const again = await registryfs(...args)
  assert.equal(again.code, 8)
  assert.match(again.stderr, /^registryfs: .* is already mounted: .*\n$/)
  await output('umount', path)
})

test('a daemon that cannot mount says why in one line', options, async (t) => {
  const path = join(await temporaryDirectory(t), 'none')
  for (const flags of [[], ['--daemon', '--log-file', '/dev/null']]) {
    const { code, stderr } = await registryfs('mount', ...flags, path)
    assert.equal(code, 8)
    assert.match(stderr, /^registryfs: mount point .* does not exist\n$/)
  }
})

test('called as mount.fuse.registryfs it mounts as mount(8) asks', options, async (t) => {
  const path = await emptyMountPoint(t)
  const files = await temporaryDirectory(t)
  const helper = join(files, 'mount.fuse.registryfs')
  await symlink(program, helper)
  const list = `ro,allow_other,_netdev,nofail,log_file=${files}/log,cache_dir=${files}/cache,image=f=quay.io/x:1`
  const ran = await run(process.execPath, [helper, 'device', path, '-o', list])
  assert.equal(ran.code, 0, ran.stderr)
  assert.equal((await output('ls', path)).trim(), 'f')
  assert.equal(findMount(path)?.source, 'device')
  await output('umount', path)
  const refused = await run(process.execPath, [helper, 'device', path, '-o', 'ro,bogus'])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /^registryfs: unknown mount option "bogus"\n$/)
  const unreadable = await run(process.execPath, [helper, 'device', path, '-o', 'cache_size=12Q'])
  assert.equal(unreadable.code, 1)
  assert.match(unreadable.stderr, /^error: .*'12Q' is invalid\. give bytes/)
  const missing = join(files, 'missing')
  const nowhere = await run(process.execPath, [helper, 'device', missing, '-o', `log_file=${files}/log`])
  assert.equal(nowhere.code, 32)
  assert.equal(nowhere.stderr, `registryfs: mount point ${missing} does not exist\n`)
})

test('bad arguments end with status 2', options, async (t) => {
  const path = await emptyMountPoint(t)
  for (const args of [
    ['mount'],
    ['mount', path, 'UPPER'],
    ['mount', path, 'a=x', 'a=y'],
    ['mount', '-o', 'rw', path],
    ['umount'],
  ]) {
    assert.equal((await registryfs(...args)).code, 2, args.join(' '))
  }
})
