import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer, type Layer } from '../support/images.js'
import { output, run, type Mounted } from '../support/mounted.js'
import { cpuSeconds } from '../support/process-figures.js'
import { complaints, mountImages, statusOf, type Status } from '../support/registryfs.js'
import { dir, file, hardlink, symlink, tarOf, type MemberOptions, type TarPart } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 240_000 }
const bindings = [
  { binding: 'native', flags: [] },
  { binding: 'fuse-native', flags: ['--binding', 'fuse-native'] },
] as const

/** cap_net_raw+ep, as setcap(8) has it; one byte of it other. */
const capability = (bit: number): Buffer =>
  Buffer.from([1, 0, 0, 2, 0, bit, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const capable = (bit: number): MemberOptions => ({ xattrs: { 'security.capability': capability(bit) } })

const layer = (...parts: readonly TarPart[]): Layer => gzipLayer(tarOf(...parts))
const layers = [
  layer(
    dir('bin/'),
    file('bin/plain', 'plain'),
    file('bin/ping', 'ping', capable(0x20)),
    file('bin/other', 'other', capable(0x10)),
    file('bin/loses', 'lower', capable(0x20)),
    file('bin/gains', 'lower'),
    file('bin/labelled', 'l', { xattrs: { 'security.selinux': 'system_u:object_r:etc_t:s0\0' } }),
    file('bin/own', 'own', { xattrs: { 'user.note': 'mine' } }),
    hardlink('bin/ping-too', 'bin/ping'),
    symlink('bin/link', 'ping'),
    dir('bin/sub/', { xattrs: { 'security.x': 'of a directory' } }),
  ),
  layer(
    file('bin/loses', 'upper'),
    file('bin/gains', 'upper', capable(0x40)),
    hardlink('bin/linked', 'bin/other'),
  ),
]
/** Hexadecimal of what each file has; all others have none. */
const capabilities: Readonly<Record<string, Buffer>> = {
  ping: capability(0x20),
  'ping-too': capability(0x20),
  other: capability(0x10),
  linked: capability(0x10),
  gains: capability(0x40),
}
const plainNames = ['plain', 'loses', 'own', 'labelled']
const many = layer(dir('many/'), ...Array.from({ length: 500 }, (_, n) => file(`many/${String(n)}`, 'x')))

interface Setup {
  readonly mount: Mounted
  readonly bin: string
  readonly many: string
  /** What was asked for until now. */
  readonly asked: () => Promise<Status['mount']>
}

async function setUp(t: TestContext, flags: readonly string[]): Promise<Setup> {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  registry.addImage('merged', 'v1', { layers })
  registry.addImage('many', 'v1', { layers: [many] })
  const images = [`m=${registry.host}/merged:v1`, `n=${registry.host}/many:v1`]
  const mount = await mountImages(t, { cache: await temporaryDirectory(t), images, flags })
  return {
    mount,
    bin: join(mount.path, 'm/bin'),
    many: join(mount.path, 'n/many'),
    asked: async () => {
      // The status is the same for as long as the kernel believes its size.
      await sleep(2_100)
      return (await statusOf(mount)).mount
    },
  }
}

/** Asked for by name, whatever a listing of names says. */
async function checkCapabilities(bin: string): Promise<void> {
  for (const [name, value] of Object.entries(capabilities)) {
    const ask = ['getfattr', '--only-values', '-n', 'security.capability', join(bin, name)]
    const { stdout } = await run('sh', ['-c', `${ask.map((word) => `'${word}'`).join(' ')} | od -An -tx1`])
    assert.equal(stdout.replaceAll(/\s/g, ''), value.toString('hex'), name)
  }
  for (const name of plainNames) {
    const { code, stderr } = await run('getfattr', ['-n', 'security.capability', join(bin, name)])
    assert.equal(code, 1, name)
    assert.match(stderr, /No such attribute/, name)
  }
}

for (const { binding, flags } of bindings) {
  test(
    `${binding}: a file's capability is shown however the kernel came to know the file`,
    options,
    async (t) => {
      const { mount, bin, asked } = await setUp(t, flags)
      // By lookups of names, while the layers are read.
      await checkCapabilities(bin)
      // By a listing, and again by lookups after all was forgotten.
      for (const isListed of [true, false, true]) {
        await output('sh', '-c', 'sync; echo 2 >/proc/sys/vm/drop_caches')
        if (isListed) await output('ls', '-l', bin)
        await checkCapabilities(bin)
      }
      const labelled = await output(
        'getfattr',
        '--only-values',
        '-n',
        'security.selinux',
        join(bin, 'labelled'),
      )
      assert.equal(labelled, 'system_u:object_r:etc_t:s0\0')
      const own = await output('getfattr', '-d', '-m', '^user.note', '--absolute-names', join(bin, 'own'))
      assert.ok(own.includes('user.note="mine"'), own)
      const { answeredByThreads } = await asked()
      assert.equal(answeredByThreads.getxattr > 0, binding === 'native')
      assert.equal(await mount.stop(), 0)
      assert.deepEqual(complaints(mount.log()), [])
    },
  )

  test(`${binding}: what cp -a and tar --xattrs take along has its xattrs`, options, async (t) => {
    const { mount, bin } = await setUp(t, flags)
    const target = await temporaryDirectory(t)
    await output('ls', '-l', bin)
    await output('cp', '-a', bin, join(target, 'copied'))
    const pack = `tar --xattrs --xattrs-include='*' -C '${bin}' -cf - .`
    const unpack = `tar --xattrs --xattrs-include='*' -C '${target}/packed' -xf -`
    await output('sh', '-c', `mkdir '${target}/packed' && ${pack} | ${unpack}`)
    const show = 'getfattr -R -P -h -d -m "^(security|system|user.note)" -e hex . | sort'
    const shown = async (directory: string): Promise<string> =>
      output('sh', '-c', `cd '${directory}' && ${show}`)
    const there = await shown(bin)
    for (const value of Object.values(capabilities)) assert.ok(there.includes(value.toString('hex')), there)
    assert.equal(await shown(join(target, 'copied')), there)
    assert.equal(await shown(join(target, 'packed')), there)
    assert.equal(await mount.stop(), 0)
  })
}

test('ls -l of files without xattrs wakes JavaScript for none of them', options, async (t) => {
  const { mount, bin, many, asked } = await setUp(t, [])
  const before = await asked()
  assert.equal((await output('ls', '-l', many)).split('\n').length, 502)
  // What every ls asks for, whatever libraries it has: with room for a value and without.
  const questions = `
import errno, os, sys
for name in sorted(os.listdir(sys.argv[1])):
    for attribute in ('security.selinux', 'security.capability', 'system.posix_acl_access', 'trusted.x'):
        try: os.getxattr(os.path.join(sys.argv[1], name), attribute)
        except OSError as error: assert error.errno == errno.ENODATA, (name, attribute, error)
        else: raise Exception((name, attribute))
`
  await output('python3', '-c', questions, many)
  const busy = await cpuSeconds(mount.pid)
  const after = await asked()
  // Who has answered looks for the next question only for a moment.
  assert.ok((await cpuSeconds(mount.pid)) - busy < 0.5)
  const byThreads = after.answeredByThreads.getxattr - before.answeredByThreads.getxattr
  const all = (after.requests['getxattr'] ?? 0) - (before.requests['getxattr'] ?? 0)
  assert.ok(byThreads >= 4 * 500, String(byThreads))
  // Of the directories on the way.
  assert.ok(all - byThreads <= 20, `${String(all - byThreads)} of ${String(all)}`)
  // What JavaScript alone knows is still asked for there.
  const fact = await output('getfattr', '--only-values', '-n', 'user.registryfs.size', join(many, '7'))
  assert.equal(fact, '1')
  // Files that have some, next to others that have none.
  await output('ls', '-l', bin)
  await checkCapabilities(bin)
  assert.equal(await mount.stop(), 0)
  assert.deepEqual(complaints(mount.log()), [])
})
