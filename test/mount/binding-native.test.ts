import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findMount } from '../../src/fuse/mountinfo.js'
import { packageRoot } from '../../src/util/package-root.js'
import { dataOf } from '../support/data-ranges.js'
import { heldShell } from '../support/held-shell.js'
import { mountMemory, output, run, type Mounted } from '../support/mounted.js'
import { sparseBytes, sparseData } from '../support/sparse-file.js'
import { waitingReader } from '../support/waiting-reader.js'

const options = { timeout: 120_000 }
const program = fileURLToPath(new URL('../support/memory-mount.js', import.meta.url))
const image = '127.0.0.1:5000/disks/vm:1'

const pause = async (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface Status {
  readonly mount: {
    readonly openHandles: number
    readonly inodes: number
    readonly requests: Readonly<Record<string, number>>
    readonly answeredByThreads: { readonly getxattr: number }
  }
}

async function statusOf(mount: Mounted): Promise<Status> {
  return JSON.parse(await output('cat', `${mount.path}/.registryfs/status.json`)) as never
}

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test(`readers that wait are gone at once after ${signal}, a hundred times in a row`, options, async (t) => {
    const mount = await mountMemory(t)
    const tookMs: number[] = []
    for (let n = 0; n < 100; n++) {
      const isFile = n % 4 !== 0
      const reader = await waitingReader(
        t,
        isFile ? 'cat' : 'ls',
        `${mount.path}/${image}/${isFile ? 'stuck' : 'stuck-directory'}`,
      )
      assert.equal(reader.exitCode, null)
      const from = performance.now()
      reader.kill(signal)
      if (reader.signalCode === null) await once(reader, 'exit')
      tookMs.push(performance.now() - from)
      assert.equal(reader.signalCode, signal)
    }
    tookMs.sort((a, b) => a - b)
    t.diagnostic(`median ${String(tookMs[50])} ms, longest ${String(tookMs[99])} ms`)
    // Milliseconds, as it was told; their requests would have waited for a minute or an hour.
    assert.ok((tookMs[99] ?? Infinity) < 10_000, `the longest took ${String(tookMs[99])} ms`)
    assert.equal(await output('cat', `${mount.path}/${image}/hello`), 'hello\n')
    // All that was open was closed again; the status itself is.
    assert.ok((await statusOf(mount)).mount.openHandles <= 2)
    assert.equal(await mount.stop(), 0)
  })
}

test('an unmount while 64 readers read ends well, and they read to their end', options, async (t) => {
  const mount = await mountMemory(t)
  const open = `exec 3< ${mount.path}/${image}/large`
  const read = 'dd bs=64k iflag=direct status=none <&3 | wc -c'
  const readers = await Promise.all(Array.from({ length: 64 }, async () => heldShell(t, open, read)))
  // Half of them are in the middle of it, the others have not begun.
  const early = readers.slice(0, 32).map(async (reader) => reader.goOn())
  await output('umount', '-l', mount.path)
  const late = readers.slice(32).map(async (reader) => reader.goOn())
  const whole = `${String(8 * 2 ** 20)}\n`
  assert.deepEqual(new Set(await Promise.all([...early, ...late])), new Set([whole]))
  assert.equal(await mount.exited, 0)
  assert.equal(findMount(mount.path), undefined)
})

test('after kill -9 under load a new mount takes the place', options, async (t) => {
  const first = await mountMemory(t)
  const readers = Array.from({ length: 16 }, (_, n) =>
    spawn(
      'sh',
      ['-c', `while cat ${first.path}/${image}/${n % 2 === 0 ? 'large' : 'disk/disk.img'}; do :; done`],
      {
        stdio: 'ignore',
      },
    ),
  )
  for (const reader of readers) t.after(() => reader.kill('SIGKILL'))
  const ended = readers.map(async (reader) => once(reader, 'exit'))
  await pause(500)
  await first.kill9()
  // None of them is left hanging.
  await Promise.all(ended)
  const second = await mountMemory(t, { mountPoint: first.path })
  assert.equal(await output('cat', `${second.path}/vm/hello`), 'hello\n')
  assert.equal(await second.stop(), 0)
  assert.equal(findMount(first.path), undefined)
})

test('a moved tag lets go of what the kernel had of it', options, async (t) => {
  const mount = await mountMemory(t)
  const directory = `${mount.path}/127.0.0.1:5000/moving:1`
  assert.equal(await output('cat', `${directory}/version`), '1\n')
  const before = (await output('stat', '-c', '%i', `${directory}/version`)).trim()
  mount.signal('SIGUSR2')
  await pause(1_200)
  assert.equal(await output('cat', `${directory}/version`), 'version two\n')
  assert.notEqual((await output('stat', '-c', '%i', `${directory}/version`)).trim(), before)
  const { inodes } = (await statusOf(mount)).mount
  // root, .registryfs, status.json, host, image, version: nothing of the old image is held.
  assert.ok(inodes <= 7, String(inodes))
})

test(
  'whose working directory was moved away by its tag works on in the image that it is of',
  options,
  async (t) => {
    const mount = await mountMemory(t)
    const directory = `${mount.path}/127.0.0.1:5000/moving:1`
    const shell = await heldShell(
      t,
      `cd ${directory}`,
      `cat ${directory}/version version; stat -c %s version; ls .`,
    )
    mount.signal('SIGUSR2')
    await pause(1_200)
    assert.equal(await output('cat', `${directory}/version`), 'version two\n')
    assert.equal(await shell.goOn(), 'version two\n1\n2\nversion\n')
    const { openHandles, inodes } = (await statusOf(mount)).mount
    // The status itself, if anything.
    assert.ok(openHandles <= 1, String(openHandles))
    assert.ok(inodes <= 7, String(inodes))
  },
)

test('a listing comes with its attributes: ls -l asks for none of them', options, async (t) => {
  const mount = await mountMemory(t)
  // Without those that JavaScript has not seen.
  const requests = async (): Promise<Record<string, number>> => {
    const { requests, answeredByThreads } = (await statusOf(mount)).mount
    return { ...requests, getxattr: (requests['getxattr'] ?? 0) - answeredByThreads.getxattr }
  }
  const before = await requests()
  const long = await output('ls', '-lU', `${mount.path}/${image}/many`)
  assert.equal(long.trimEnd().split('\n').length, 10_001)
  const after = await requests()
  const made = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0)
  // Those that came with the listing; each by itself would be as many again.
  assert.ok(made('lookup') < 10_100, JSON.stringify(after))
  for (const name of ['getattr', 'getxattr', 'listxattr']) assert.ok(made(name) < 100, JSON.stringify(after))
  const names = (await output('ls', `${mount.path}/${image}/long-names`)).trimEnd().split('\n')
  assert.equal(new Set(names).size, 300)
})

test('holes are holes to lseek, qemu-img, cp and du', options, async (t) => {
  const mount = await mountMemory(t)
  const path = `${mount.path}/${image}/sparse`
  assert.deepEqual(await dataOf(path), sparseData)
  const size = (await output('stat', '-c', '%s %b', path)).trim()
  assert.equal(size, `${String(sparseBytes)} ${String((4096 + 65_536 + 4096) / 512)}`)

  const map = JSON.parse(await output('qemu-img', 'map', '--output=json', '-f', 'raw', path)) as {
    start: number
    length: number
    data: boolean
  }[]
  assert.deepEqual(
    map.filter(({ data }) => data).map(({ start, length }) => [start, start + length]),
    sparseData,
  )

  const folder = await mkdtemp(join(tmpdir(), 'registryfs-sparse-'))
  t.after(async () => rm(folder, { recursive: true }))
  const copy = join(folder, 'copy')
  await output('cp', '--sparse=auto', path, copy)
  assert.deepEqual(await dataOf(copy), sparseData)
  for (const [start, end] of sparseData) {
    const range = ['-i', `${String(start)}:${String(start)}`, '-n', String(end - start)]
    await output('cmp', ...range, path, copy)
  }
  assert.equal((await run('cmp', ['-n', String(2 << 20), path, copy])).code, 0)
})

test('an ordinary user mounts with fusermount3, and no libfuse is loaded', options, async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'registryfs-user-'))
  t.after(async () => rm(scratch, { recursive: true }))
  await chmod(scratch, 0o755)
  for (const folder of ['dev', 'checkout', 'place']) await mkdir(join(scratch, folder))
  const place = join(scratch, 'place')
  await chown(place, 65_534, 65_534)
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=+all', '--inh-caps=-all']
  // In a namespace of mounts of its own: the checkout where everybody may read it, /dev/fuse as udev makes it.
  const start = (...args: string[]): ChildProcess => {
    const script =
      `mount --bind ${packageRoot} ${scratch}/checkout && mount -t tmpfs none ${scratch}/dev && ` +
      `mknod -m 666 ${scratch}/dev/fuse c 10 229 && mount --bind ${scratch}/dev/fuse /dev/fuse && cd / && exec "$@"`
    const daemon = [process.execPath, `${scratch}/checkout/${relative(packageRoot, program)}`, place, ...args]
    const command = ['-m', 'sh', '-c', script, 'sh', 'setpriv', ...user, ...daemon]
    const child = spawn('unshare', command, { stdio: ['ignore', 'ignore', 'pipe'] })
    t.after(() => child.kill('SIGKILL'))
    return child
  }
  const child = start()
  let log = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text))
  const pid = String(child.pid)
  const isMounted = async (): Promise<boolean> =>
    (await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')).includes(`${place} ro,nosuid,nodev`)
  for (let tries = 0; tries < 1000 && !(await isMounted()) && child.exitCode === null; tries++)
    await pause(50)
  assert.ok(await isMounted(), log)
  const inside = ['-t', pid, '-m', '--']
  assert.equal(await output('nsenter', ...inside, 'setpriv', ...user, 'cat', `${place}/vm/hello`), 'hello\n')
  // Not even root sees it without allow_other.
  assert.notEqual((await run('nsenter', [...inside, 'cat', `${place}/vm/hello`])).code, 0)
  assert.match(await readFile(`/proc/${pid}/status`, 'utf8'), /^Uid:\s65534\s65534/m)
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8')
  assert.match(maps, /registryfs\.node/)
  assert.doesNotMatch(maps, /libfuse|fuse\.node/)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])

  const configuration = await readFile('/etc/fuse.conf', 'utf8').catch(() => '')
  if (/^\s*user_allow_other\s*$/m.test(configuration)) return
  const refused = start('--allow-other')
  let reason = ''
  refused.stderr?.setEncoding('utf8').on('data', (text: string) => (reason += text))
  assert.deepEqual(await once(refused, 'close'), [8, null])
  assert.match(reason, /allow_other needs root, or the line user_allow_other in \/etc\/fuse\.conf/)
})
