import assert from 'node:assert/strict'
import { chmod, chown, mkdir, realpath, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { test, type TestContext } from 'node:test'
import { packageRoot } from '../../src/util/package-root.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { output, run, type Ran } from '../support/mounted.js'
import { mountImages, program, registryfs } from '../support/registryfs.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }
const isRoot = process.getuid?.() === 0
const asRoot = { ...options, skip: isRoot ? false : 'needs root' }

/** `doctor` in a mount namespace of its own, after a shell command. */
async function doctorAfter(t: TestContext, command: string, wrapper = '', path = program): Promise<Ran> {
  const files = await temporaryDirectory(t)
  await chmod(files, 0o755)
  await chown(files, 65_534, 65_534)
  const cache = join(files, 'cache')
  const args = [process.execPath, path, 'doctor', '--cache-dir', cache]
  return run('unshare', ['-m', 'sh', '-c', `${command} && exec ${wrapper} "$0" "$@"`, ...args], 60_000)
}

function line({ stdout }: Ran, check: string): string {
  const lines = stdout.split('\n')
  const at = lines.findIndex((each) => each.slice(6).startsWith(`${check} `))
  assert.ok(at >= 0, `${check} in\n${stdout}`)
  const advice = lines[at + 1]?.trim() ?? ''
  return (lines[at] ?? '').replace(/ +/g, ' ') + (advice.startsWith('-> ') ? ` ${advice}` : '')
}

test('a host that is ready has a line for each thing that it needs', options, async (t) => {
  const cache = join(await temporaryDirectory(t), 'cache')
  const ran = await registryfs({ cache }, 'doctor')
  assert.deepEqual([ran.code, ran.stderr], [0, ''], ran.stdout)
  assert.match(line(ran, 'addon'), /^ok addon the native addon loads and computes$/)
  assert.match(line(ran, '/dev/fuse'), /^ok \/dev\/fuse can be opened$/)
  assert.match(line(ran, 'fusermount3'), /^ok fusermount3 \/\S+\/fusermount3$/)
  assert.match(line(ran, 'user_allow_other'), /^(ok|info|warn) user_allow_other /)
  assert.match(line(ran, 'libfuse2'), /^info libfuse2 there, for --binding fuse-native$/)
  assert.match(line(ran, 'cache directory'), /^ok cache directory \S+ can be written to$/)
  assert.match(line(ran, 'cache space'), /^ok cache space .* free, .* of it left alone, .* used at most$/)
})

test('without /dev/fuse doctor fails as a mount would, and says what works', asRoot, async (t) => {
  const hide = 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9'
  const ran = await doctorAfter(t, hide)
  assert.equal(ran.code, 8, ran.stdout)
  assert.match(
    line(ran, '/dev/fuse'),
    /^fail \/dev\/fuse there is no \/dev\/fuse: .* -> without it there are no mounts; ls, cat and index work$/,
  )
})

test('an ordinary user without fusermount3 and user_allow_other is told of both', asRoot, async (t) => {
  const files = await temporaryDirectory(t)
  await chmod(files, 0o755)
  const [checkout, empty] = [join(files, 'checkout'), join(files, 'empty')]
  await mkdir(checkout)
  await writeFile(empty, '')
  const fusermount = await realpath((await output('which', 'fusermount3')).trim())
  const libraries = (await output('ldconfig', '-p')).matchAll(/libfuse\.so\.2 .* => (\S+)/g)
  const hidden = [fusermount, '/etc/fuse.conf', ...[...libraries].map(([, library = '']) => library)]
  const paths = await Promise.all(hidden.map(async (path) => realpath(path)))
  const commands = [
    ...[...new Set(paths)].map((path) => `mount --bind ${empty} ${path}`),
    // A checkout below /root is nothing that others can read.
    `mount --bind ${packageRoot} ${checkout}`,
  ]
  const wrapper = `env HOME=${files} setpriv --reuid=65534 --regid=65534 --clear-groups`
  const ran = await doctorAfter(
    t,
    commands.join(' && '),
    wrapper,
    join(checkout, relative(packageRoot, program)),
  )
  assert.equal(ran.code, 8, ran.stdout + ran.stderr)
  assert.match(
    line(ran, 'fusermount3'),
    /^fail fusermount3 not there, and only root mounts without it -> apt-get install fuse3$/,
  )
  assert.match(
    line(ran, 'user_allow_other'),
    /^warn user_allow_other not set .* -> as root: echo user_allow_other/,
  )
  assert.match(line(ran, 'libfuse2'), /^info libfuse2 .*\(only --binding fuse-native needs it\)$/)
  assert.match(line(ran, 'cache directory'), /^ok/)
})

test('a cache directory that cannot be used, is in use, or has no room is a warning', options, async (t) => {
  const files = await temporaryDirectory(t)
  await writeFile(join(files, 'file'), '')
  const blocked = await registryfs({ cache: join(files, 'file') }, 'doctor')
  assert.equal(blocked.code, 0)
  assert.match(line(blocked, 'cache directory'), /^warn .* cannot be used: .* -> .*--cache-dir$/)

  const open = join(files, 'open')
  await mkdir(open, { mode: 0o700 })
  await chmod(open, 0o777)
  assert.match(
    line(await registryfs({ cache: open }, 'doctor'), 'cache directory'),
    /^warn .*others may write to it/,
  )

  const cache = join(files, 'cache')
  const mount = await mountImages(t, { cache })
  const second = await registryfs({ cache }, 'doctor')
  assert.equal(second.code, 0)
  assert.match(
    line(second, 'cache directory'),
    /^warn .* in use by another registryfs \(pid \d+\) -> .*--cache-dir/,
  )
  assert.equal(await mount.stop(), 0)

  const full = await registryfs({ cache }, 'doctor', '--free-reserve', '1000000G')
  assert.equal(full.code, 0)
  assert.match(line(full, 'cache space'), /^warn .*nothing more will be cached -> free some/)
})

test('--json has the same findings, their number, and whether all is well', options, async (t) => {
  const registry = await FakeRegistry.start({ faults: { clockAheadMs: 600_000 } })
  t.after(async () => registry.stop())
  registry.addImage('a', '1', { layers: [] })
  const cache = join(await temporaryDirectory(t), 'cache')
  const read = async (name: string): Promise<Record<string, unknown>> => {
    const { stdout, stderr } = await registryfs({ cache }, 'doctor', '--json', `${registry.host}/${name}`)
    assert.equal(stderr, '')
    return JSON.parse(stdout) as Record<string, unknown>
  }
  const good = await read('a:1')
  assert.deepEqual([good['healthy'], good['fail']], [true, 0])
  assert.ok(Number(good['warn']) >= 1)
  const bad = await read('b:1')
  assert.deepEqual([bad['healthy'], bad['fail']], [false, 1])
  const findings = bad['findings'] as readonly { state: string; advice?: string }[]
  assert.ok(findings.every(({ state, advice }) => (advice === undefined) === ['ok', 'info'].includes(state)))
})
