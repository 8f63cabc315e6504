import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rmdir, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findMount } from '../../src/fuse/mountinfo.js'
import { packageRoot } from '../../src/util/package-root.js'
import { bindings } from '../support/bindings.js'
import { heldShell } from '../support/held-shell.js'
import { emptyMountPoint, mountMemory, output, run, type Ran } from '../support/mounted.js'
import { waitingReader } from '../support/waiting-reader.js'

const options = { timeout: 60_000 }
const program = fileURLToPath(new URL('../support/memory-mount.js', import.meta.url))
const image = '127.0.0.1:5000/disks/vm:1'

const pause = async (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** A mount that must fail. */
async function refused(...args: string[]): Promise<Ran> {
  return run(process.execPath, [program, ...args])
}

async function reader(t: TestContext, path: string): Promise<{ kill(): void; ended: Promise<unknown> }> {
  const child = await waitingReader(t, 'cat', path)
  assert.equal(child.exitCode, null)
  return { kill: () => child.kill('SIGKILL'), ended: once(child, 'exit') }
}

for (const { binding, flags } of bindings) {
  for (const tool of [['umount'], ['fusermount3', '-u'], ['umount', '-l']] as const) {
    test(
      `${binding}: the daemon ends well when someone unmounts with ${tool.join(' ')}`,
      options,
      async (t) => {
        const mount = await mountMemory(t, { args: flags })
        const [command, ...args] = tool
        await output(command, ...args, mount.path)
        assert.equal(await mount.exited, 0)
      },
    )
  }

  test(
    `${binding}: after a lazy unmount the daemon serves what is open to the end, and then ends`,
    options,
    async (t) => {
      const mount = await mountMemory(t, { args: flags })
      const slow = await heldShell(t, `exec 3< ${mount.path}/${image}/large`, 'cat <&3 | wc -c')
      await output('umount', '-l', mount.path)
      assert.equal(await slow.goOn(), `${String(8 * 2 ** 20)}\n`)
      assert.equal(await mount.exited, 0)
    },
  )

  test(`${binding}: SIGTERM unmounts`, options, async (t) => {
    const mount = await mountMemory(t, { args: flags })
    assert.equal(await mount.stop(), 0)
    assert.equal(findMount(mount.path), undefined)
  })

  test(`${binding}: SIGTERM unmounts also while files are open and requests wait`, options, async (t) => {
    const mount = await mountMemory(t, { args: flags })
    const stuck = await reader(t, `${mount.path}/${image}/stuck`)
    assert.equal(await mount.stop(), 0)
    assert.equal(findMount(mount.path), undefined)
    await stuck.ended
  })

  test(`${binding}: an aborted connection is cleared away`, options, async (t) => {
    const mount = await mountMemory(t, { args: flags })
    const minor = findMount(mount.path)?.device.split(':')[1] ?? ''
    // fusectl need not be mounted here; in a namespace of its own it can be.
    const control = '/sys/fs/fuse/connections'
    await output(
      'unshare',
      '-m',
      'sh',
      '-c',
      `mount -t fusectl none ${control}; echo 1 > ${control}/${minor}/abort`,
    )
    assert.equal(await mount.exited, 0)
    assert.equal(findMount(mount.path), undefined)
  })

  test(`${binding}: the stale mount of a killed daemon is cleared by the next`, options, async (t) => {
    const first = await mountMemory(t, { args: flags })
    await first.kill9()
    assert.match((await run('ls', [first.path])).stderr, /not connected/)
    const second = await mountMemory(t, { mountPoint: first.path, args: flags })
    assert.equal(await output('cat', `${second.path}/vm/hello`), 'hello\n')
    assert.equal(await second.stop(), 0)
    assert.equal(findMount(first.path), undefined)
  })

  test(
    `${binding}: a daemon that learns late that its mount is gone leaves the next one at its place alone`,
    options,
    async (t) => {
      const first = await mountMemory(t, { args: flags })
      first.signal('SIGSTOP')
      await output('umount', '-l', first.path)
      // The kernel gives it the number of the first.
      const second = await mountMemory(t, { mountPoint: first.path, args: flags })
      first.signal('SIGCONT')
      assert.equal(await first.exited, 0)
      assert.equal(await output('cat', `${second.path}/vm/hello`), 'hello\n')
      assert.equal(await second.stop(), 0)
    },
  )

  test(`${binding}: a reader killed in the middle leaves the daemon well`, options, async (t) => {
    const mount = await mountMemory(t, { args: ['--short-deadline', ...flags] })
    const stuck = await reader(t, `${mount.path}/${image}/stuck`)
    stuck.kill()
    await stuck.ended
    assert.equal(await output('cat', `${mount.path}/${image}/hello`), 'hello\n')
    assert.equal(await mount.stop(), 0)
  })

  test(`${binding}: a read that gets nowhere fails with ETIMEDOUT at its deadline`, options, async (t) => {
    const mount = await mountMemory(t, { args: ['--short-deadline', ...flags] })
    const { code, stderr } = await run('cat', [`${mount.path}/${image}/stuck`])
    assert.equal(code, 1)
    assert.match(stderr, /timed out/)
  })

  test(`${binding}: requests that wait do not hold up others, however many`, options, async (t) => {
    const mount = await mountMemory(t, { args: flags })
    const names = Array.from({ length: 40 }, (_, n) => `${mount.path}/${image}/waiting/${String(n)}`)
    const stuck = await Promise.all(names.map(async (name) => reader(t, name)))
    assert.equal(await output('cat', `${mount.path}/${image}/hello`), 'hello\n')
    assert.equal(await mount.stop(), 0)
    await Promise.all(stuck.map(async ({ ended }) => ended))
  })
}

test('a mount point that is no empty directory, or is in use, is refused in one line', options, async (t) => {
  const place = await emptyMountPoint(t)
  const oneLine = (ran: Ran, pattern: RegExp): void => {
    assert.equal(ran.code, 8)
    assert.match(ran.stderr, pattern)
    assert.equal(ran.stderr.trimEnd().split('\n').length, 1, ran.stderr)
  }
  oneLine(await refused(join(place, 'none')), /does not exist/)
  oneLine(await refused('/proc/self/mountinfo/x'), /is not a directory/)
  oneLine(await refused('/'), /root directory/)
  oneLine(await refused('/proc'), /already a mount point \(proc\)/)

  const file = join(place, 'file')
  await writeFile(file, '')
  oneLine(await refused(file), /is not a directory/)
  oneLine(await refused(place), /is not empty/)
  const mount = await mountMemory(t, { mountPoint: place, args: ['--nonempty'] })
  oneLine(await refused(place), /already mounted/)
  assert.equal(await mount.stop(), 0)
  await unlink(file)
})

test('a symbolic link to a directory is mounted where it points', options, async (t) => {
  const place = await emptyMountPoint(t)
  const link = `${place}-link`
  await symlink(place, link)
  t.after(async () => unlink(link))
  const child = spawn(process.execPath, [program, link], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  while (findMount(place) === undefined) await pause(50)
  await output('umount', place)
  const [code] = (await once(child, 'exit')) as [number]
  assert.equal(code, 0)
})

test(
  'no permission for /dev/fuse, no /dev/fuse and, for fuse-native, no libfuse are one clear line each',
  options,
  async (t) => {
    const place = await emptyMountPoint(t)
    const node = `${process.execPath} ${program} ${place}`
    const inNamespace = async (script: string): Promise<Ran> => run('unshare', ['-m', 'sh', '-c', script])
    // In a place where everybody may read it.
    const checkout = await mkdtemp(join(tmpdir(), 'registryfs-checkout-'))
    t.after(async () => rmdir(checkout))
    await chmod(checkout, 0o755)
    const denied = await inNamespace(
      `mount --bind ${packageRoot} ${checkout} && cd / && exec setpriv --bounding-set=-all --inh-caps=-all ` +
        `--reuid=65534 --clear-groups ${process.execPath} ${checkout}/${relative(packageRoot, program)} ${place}`,
    )
    assert.match(denied.stderr, /^registryfs: no permission (to open \/dev\/fuse|for mount point)/)
    const noDevice = await inNamespace(
      `mkdir -p ${place}/../dev-$$ && mount --bind /dev/null /dev/fuse && umount /dev/fuse && ` +
        `mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec ${node}`,
    )
    assert.match(noDevice.stderr, /registryfs: there is no \/dev\/fuse/)
    const library = (
      await output('sh', '-c', 'ldconfig -p | sed -n "s/.*libfuse.so.2 .*=> //p" | head -1')
    ).trim()
    const noLibrary = await inNamespace(`mount --bind /dev/null ${library} && exec ${node} --fuse-native`)
    assert.match(noLibrary.stderr, /registryfs: libfuse2 is not installed: apt-get install libfuse2/)
    await rmdir(join(dirname(place), 'none')).catch(() => undefined)
    await mkdir(place, { recursive: true })
  },
)

test(
  'a mount for which there are no descriptors left is refused, and nobody waits for it',
  options,
  async (t) => {
    const mountPoint = await emptyMountPoint(t)
    const other = fileURLToPath(new URL('../support/mount-without-descriptors.js', import.meta.url))
    const { stdout } = await run('prlimit', ['--nofile=100', process.execPath, other, mountPoint])
    await run('umount', ['-l', mountPoint])
    const said = JSON.parse(stdout.split('\n')[1] ?? '') as { problem: string; found: string }
    assert.match(said.problem, /cannot mount .*: EMFILE/)
    // Dead, where there was no descriptor for umount(8) either.
    assert.ok(['well', 'ENOTCONN'].includes(said.found), said.found)
  },
)
