import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { findMount } from '../../src/fuse/mountinfo.js'
import { packageRoot } from '../../src/util/package-root.js'
import { dockerRegistry, writeOciLayout, type DockerRegistry } from '../support/docker-registry.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer, imageOf } from '../support/images.js'
import { emptyMountPoint, output, run, type Ran } from '../support/mounted.js'
import { blobBytesSent, program, registryfs, sha256Of } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, fifo, file, hardlink, symlink as link, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }
const disk = sampleData('mixed', 24 << 20)
const layer = gzipLayer(
  tarOf(
    dir('disk/', { mtime: 1_700_000_000 }),
    file('disk/downloaded', disk, { uid: 107, gid: 107, mode: 0o440, mtime: 1_700_000_000 }),
    dir('etc/'),
    file('etc/motd', 'hello\n', { mode: 0o4755 }),
    hardlink('etc/motd-2', 'etc/motd', { mode: 0o4755 }),
    link('etc/motd-link', 'motd'),
    link('etc/escape', '/../../etc/motd'),
    link('etc/loop', 'loop'),
    fifo('etc/fifo'),
    file('etc/control\u001b[31m', ''),
  ),
)
const image = imageOf({ layers: [layer] })

interface Setup {
  readonly registry: DockerRegistry
  readonly reference: string
  readonly files: string
  readonly cache: string
}

async function setUp(t: TestContext): Promise<Setup> {
  const files = await temporaryDirectory(t)
  const registry = await dockerRegistry(t)
  await writeOciLayout(join(files, 'oci'), 'v1', image)
  await registry.push(join(files, 'oci'), 'disk', 'v1')
  return { registry, reference: `${registry.host}/disk:v1`, files, cache: join(files, 'cache') }
}

function stdoutOf(ran: Ran): string {
  assert.deepEqual([ran.code, ran.stderr], [0, ''])
  return ran.stdout
}

test('ls lists, with and without an index', options, async (t) => {
  const setup = await setUp(t)
  const ls = async (...words: string[]): Promise<string> => stdoutOf(await registryfs(setup, 'ls', ...words))
  assert.equal(await ls(setup.reference), 'disk\netc\n')
  assert.equal(await ls(setup.reference, '/'), 'disk\netc\n')
  assert.equal(await ls(setup.reference, 'disk/'), 'downloaded\n')
  assert.equal(await ls(setup.reference, '/etc/motd'), 'etc/motd\n')
  const names = ['control\\x1b[31m', 'escape', 'fifo', 'loop', 'motd', 'motd-2', 'motd-link']
  assert.equal(await ls(setup.reference, 'etc'), `${names.join('\n')}\n`)
  const below = [...names.map((name) => `etc/${name}`), 'disk/downloaded', 'disk', 'etc'].sort()
  assert.deepEqual((await ls('-R', setup.reference)).trim().split('\n').sort(), below)
  assert.match(
    await ls('-l', setup.reference, 'disk'),
    /^-r--r----- {2}1 107 107 +25165824 2023-11-14 22:13 downloaded\n$/,
  )
  const long = await ls('-l', setup.reference, 'etc')
  assert.match(long, /^-rwsr-xr-x {2}2 0 0 +6 1970-01-01 00:00 motd$/m)
  assert.match(long, /^lrwxrwxrwx {2}1 .* motd-link -> motd$/m)
})

test('ls --json gives one object for each entry', options, async (t) => {
  const setup = await setUp(t)
  for (let times = 0; times < 2; times++) {
    const text = stdoutOf(await registryfs(setup, 'ls', '-R', '--json', setup.reference))
    const entries = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const found = entries.find(({ name }) => name === 'disk/downloaded')
    assert.equal(found?.['type'], 'file')
    assert.equal(found['size'], disk.length)
    assert.equal(found['mode'], 0o440)
    assert.equal(found['uid'], 107)
    assert.equal(found['mtime'], '2023-11-14T22:13:20.000Z')
    assert.equal(found['layer'], image.layerDigests[0])
    // Behind the header of disk/, its own header.
    assert.equal(found['offset'], 1024)
    assert.equal(entries.find(({ name }) => name === 'etc/motd-link')?.['target'], 'motd')
  }
})

test('ls shows what the pass meets before the layer is whole', options, async (t) => {
  const registry = await FakeRegistry.start({ faults: { bytesPerSecond: 400_000 } })
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  const cache = join(await temporaryDirectory(t), 'cache')
  const args = [program, 'ls', '-R', `${registry.host}/disk:v1`, '--cache-dir', cache]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  while (!text.includes('disk/downloaded\n')) await sleep(20)
  assert.ok(blobBytesSent(registry) < layer.bytes.length / 2)
  assert.equal(child.exitCode, null)
  registry.faults = {}
  const [code] = (await once(child, 'close')) as [number]
  assert.equal(code, 0)
  assert.match(text, /etc\/motd\n/)
})

test('cat writes a file or a part of it', options, async (t) => {
  const setup = await setUp(t)
  const target = join(setup.files, 'out')
  const cat = async (...words: string[]): Promise<Ran> => registryfs(setup, 'cat', setup.reference, ...words)
  const command = `"$0" "$@" > ${target}`
  const whole = await run('sh', [
    ...['-c', command, process.execPath, program, 'cat', setup.reference, 'disk/downloaded'],
    ...['--cache-dir', setup.cache],
  ])
  assert.equal(stdoutOf(whole), '')
  assert.equal((await output('sha256sum', target)).slice(0, 64), sha256Of(disk))
  for (const path of [
    'etc/motd',
    '/etc/motd',
    'etc/motd-2',
    'etc/motd-link',
    'etc/escape',
    'disk/../etc/./motd',
  ])
    assert.equal(stdoutOf(await cat(path)), 'hello\n', path)
  const part = async (...words: string[]): Promise<string> => stdoutOf(await cat('etc/motd', ...words))
  assert.equal(await part('--offset', '1', '--length', '3'), 'ell')
  assert.equal(await part('--offset', '4'), 'o\n')
  assert.equal(await part('--offset', '4', '--length', '1G'), 'o\n')
  assert.equal(await part('--offset', '6'), '')
  assert.equal(await part('--offset', '1T'), '')
  assert.equal(await part('--length', '0'), '')
  const middle = await run('sh', [
    ...['-c', command, process.execPath, program, 'cat', setup.reference, 'disk/downloaded'],
    ...['--offset', '9M', '--length', '5000000', '--cache-dir', setup.cache],
  ])
  assert.equal(stdoutOf(middle), '')
  const expected = sha256Of(disk.subarray(9 << 20, (9 << 20) + 5_000_000))
  assert.equal((await output('sha256sum', target)).slice(0, 64), expected)
})

test('cat of what is no file says so', options, async (t) => {
  const setup = await setUp(t)
  const cases = [
    { path: 'nothing', code: 3, line: /nothing: no "nothing" in the image/ },
    { path: 'disk', code: 1, line: /disk is a directory/ },
    { path: 'etc/fifo', code: 1, line: /etc\/fifo is a fifo, not a file/ },
    { path: 'etc/motd/deeper', code: 1, line: /not a directory/ },
    { path: 'etc/loop', code: 3, line: /etc\/loop leads nowhere: symlinks in a circle/ },
  ]
  for (const { path, code, line } of cases) {
    const ran = await registryfs(setup, 'cat', setup.reference, path)
    assert.equal(ran.code, code, ran.stderr)
    assert.equal(ran.stdout, '')
    assert.match(ran.stderr, /^registryfs: [^\n]+\n$/)
    assert.match(ran.stderr, line)
  }
})

test('output that nobody reads any more ends cat and ls quietly', options, async (t) => {
  const setup = await setUp(t)
  for (const words of [
    ['cat', setup.reference, 'disk/downloaded'],
    ['ls', '-R', setup.reference],
  ]) {
    const args = [process.execPath, program, ...words, '--cache-dir', setup.cache]
    const ran = await run('sh', ['-c', '"$0" "$@" | head -c 5 | wc -c', ...args], 60_000)
    assert.equal(stdoutOf(ran).trim(), '5')
  }
  const args = [
    process.execPath,
    program,
    'cat',
    setup.reference,
    'disk/downloaded',
    '--cache-dir',
    setup.cache,
  ]
  const full = await run('sh', ['-c', '"$0" "$@" > /dev/full', ...args], 60_000)
  assert.equal(full.code, 1)
  assert.match(full.stderr, /^registryfs: [^\n]*(ENOSPC|no space)[^\n]*\n$/)
})

test('index runs the first pass ahead of time, once', options, async (t) => {
  const setup = await setUp(t)
  const before = JSON.parse(
    stdoutOf(await registryfs(setup, 'inspect', '--json', setup.reference)),
  ) as Inspected
  assert.equal(before.layers[0]?.state, 'unread')
  assert.equal(before.layers[0].cachedBytes, 0)
  const indexed = stdoutOf(await registryfs(setup, 'index', setup.reference))
  assert.match(
    indexed,
    /^127\.0\.0\.1:\d+\/disk:v1: 1 layer, \S+ MiB of blobs, \S+ MiB of tar, index \S+ \w+, /,
  )
  const after = JSON.parse(
    stdoutOf(await registryfs(setup, 'inspect', '--json', setup.reference)),
  ) as Inspected
  const [report] = after.layers
  assert.equal(report?.state, 'ready')
  assert.equal(report.size, layer.bytes.length)
  assert.equal(report.diffId, layer.diffId)
  assert.equal(report.members, 10)
  assert.ok(report.indexBytes > 0)
  assert.equal(report.cachedBytes, layer.bytes.length)
  assert.deepEqual(
    [after.reference, after.digest, after.topDigest, after.mediaType],
    [setup.reference, image.digest, image.digest, image.mediaType],
  )
  const shown = stdoutOf(await registryfs(setup, 'inspect', setup.reference))
  assert.match(shown, new RegExp(`digest +${image.digest}\n`))
  assert.match(shown, /platform +linux\/amd64\n/)
  assert.match(shown, /seek points, 10 members\n/)
  // Without the registry's layers, which it need not ask for.
  await rm(join(setup.registry.storage, 'docker/registry/v2/blobs/sha256'), { recursive: true })
  await setup.registry.stop()
  const byDigest = `${setup.registry.host}/disk@${image.digest}`
  assert.match(stdoutOf(await registryfs(setup, 'index', byDigest)), /1 layer, /)
  assert.equal(stdoutOf(await registryfs(setup, 'cat', byDigest, 'etc/motd')), 'hello\n')
})

interface Inspected {
  readonly reference: string
  readonly digest: string
  readonly topDigest: string
  readonly mediaType: string
  readonly layers: readonly {
    readonly state: string
    readonly size: number
    readonly diffId: string
    readonly members: number
    readonly indexBytes: number
    readonly cachedBytes: number
  }[]
}

test('a second index asks for no blob', options, async (t) => {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  const cache = join(await temporaryDirectory(t), 'cache')
  stdoutOf(await registryfs({ cache }, 'index', `${registry.host}/disk:v1`))
  registry.forgetRequests()
  stdoutOf(await registryfs({ cache }, 'index', `${registry.host}/disk:v1`))
  assert.deepEqual(registry.trace, ['HEAD manifest 200'])
})

test('--inflate zlib reads the same, and what it left serves our own decoder', options, async (t) => {
  const setup = await setUp(t)
  const path = await emptyMountPoint(t)
  const flags = ['--inflate', 'zlib']
  const daemon = ['--daemon', '--log-file', join(setup.files, 'log')]
  stdoutOf(await registryfs(setup, 'mount', ...daemon, ...flags, path, `d=${setup.reference}`))
  assert.equal((await output('sha256sum', join(path, 'd/disk/downloaded'))).slice(0, 64), sha256Of(disk))
  stdoutOf(await run(process.execPath, [program, 'umount', path]))
  for (const more of [[], flags])
    assert.equal(stdoutOf(await registryfs(setup, 'cat', setup.reference, 'etc/motd', ...more)), 'hello\n')
  const other = await registryfs(setup, 'index', setup.reference, '--inflate', 'gunzip')
  assert.notEqual(other.code, 0)
  assert.match(other.stderr, /Allowed choices are own, zlib/)
})

test('an interrupted index ends with 130, without a word, and goes on the next time', options, async (t) => {
  const registry = await FakeRegistry.start({ faults: { bytesPerSecond: 1_000_000 } })
  t.after(async () => registry.stop())
  registry.addImage('disk', 'v1', { layers: [layer] })
  const cache = join(await temporaryDirectory(t), 'cache')
  const args = [program, 'index', `${registry.host}/disk:v1`, '--cache-dir', cache]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  while (blobBytesSent(registry) < 5 << 20) await sleep(50)
  child.kill('SIGINT')
  const [code] = (await once(child, 'close')) as [number]
  assert.deepEqual([code, said], [130, ''])
  registry.faults = {}
  stdoutOf(await registryfs({ cache }, 'index', `${registry.host}/disk:v1`))
  assert.ok(blobBytesSent(registry) <= layer.bytes.length + (8 << 20))
})

test('every command explains itself', options, async (t) => {
  const cache = join(await temporaryDirectory(t), 'cache')
  for (const command of ['mount', 'umount', 'ls', 'cat', 'index', 'inspect']) {
    const ran = await run(process.execPath, [program, command, '--help'])
    assert.match(stdoutOf(ran), new RegExp(`^Usage: registryfs ${command} `))
  }
  const whole = stdoutOf(await run(process.execPath, [program, '--help']))
  for (const command of ['mount', 'umount', 'ls', 'cat', 'index', 'inspect'])
    assert.match(whole, new RegExp(`^ {2}${command} `, 'm'))
  assert.match(whole, /Exit status:/)
  assert.match(stdoutOf(await run(process.execPath, [program, '--version'])), /^\d+\.\d+\.\d+\n$/)
  assert.ok(!existsSync(cache))
})

test(
  'mount --daemon returns with a mount that shows the image, umount ends its daemon',
  options,
  async (t) => {
    const setup = await setUp(t)
    const path = await emptyMountPoint(t)
    const log = join(setup.files, 'log')
    const flags = ['--daemon', '--log-file', log]
    stdoutOf(await registryfs(setup, 'mount', ...flags, path, `d=${setup.reference}`))
    assert.equal(findMount(path)?.type, 'fuse.registryfs')
    assert.equal(await output('cat', join(path, 'd/etc/motd')), 'hello\n')
    const status = await output('cat', join(path, '.registryfs/status.json'))
    const { pid } = JSON.parse(status) as { pid: number }
    stdoutOf(await run(process.execPath, [program, 'umount', path]))
    await ended(pid)
    assert.equal(findMount(path), undefined)
  },
)

async function ended(pid: number): Promise<void> {
  for (let times = 0; existsSync(`/proc/${String(pid)}`); times++) {
    assert.ok(times < 400, `process ${String(pid)} is still there`)
    await sleep(50)
  }
}

// Only root may write to /sbin, and only where no registryfs is installed.
const helper = '/sbin/mount.fuse.registryfs'
const isFree = process.getuid?.() === 0 && !existsSync(helper)

test('mount(8) mounts it as /etc/fstab says', { ...options, skip: !isFree }, async (t) => {
  const setup = await setUp(t)
  const path = await realpath(await emptyMountPoint(t))
  t.after(async () => rm(helper, { force: true }))
  // The compiled program is no executable, and knows by its name what it is called as.
  const main = join(setup.files, 'mount.fuse.registryfs')
  await symlink(program, main)
  await writeFile(helper, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`, { mode: 0o755 })
  const fstab = join(setup.files, 'fstab')
  const list = `ro,allow_other,_netdev,cache_dir=${setup.cache},log_file=${setup.files}/log,image=d=${setup.reference}`
  await writeFile(fstab, `registryfs ${path} fuse.registryfs ${list} 0 0\n`)
  stdoutOf(await run('mount', ['--fstab', fstab, path], 60_000))
  assert.deepEqual([findMount(path)?.type, findMount(path)?.source], ['fuse.registryfs', 'registryfs'])
  assert.equal(await output('cat', join(path, 'd/etc/motd')), 'hello\n')
  const mounted = await output('findmnt', '-n', '-o', 'FSTYPE,OPTIONS', path)
  assert.match(mounted, /^fuse\.registryfs +ro,nosuid,nodev,.*allow_other/)
  // As whoever allow_other lets in: modes and owners count.
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups']
  assert.equal(await output('setpriv', ...nobody, 'cat', join(path, 'd/etc/motd')), 'hello\n')
  const refused = await run('setpriv', [...nobody, 'cat', join(path, 'd/disk/downloaded')])
  assert.match(refused.stderr, /Permission denied/)
  stdoutOf(await run('umount', [path]))
  assert.equal(findMount(path), undefined)

  const typed = ['-t', 'fuse.registryfs', '-o', `cache_dir=${setup.cache}`, 'registryfs', path]
  const said = await run('mount', typed, 60_000)
  assert.equal(said.code, 0)
  assert.equal(await output('cat', join(path, setup.registry.host, 'disk:v1/etc/motd')), 'hello\n')
  stdoutOf(await run('umount', [path]))

  const refusal = await run('mount', ['-t', 'fuse.registryfs', '-o', 'ro,bogus', 'registryfs', path], 60_000)
  assert.notEqual(refusal.code, 0)
  assert.match(refusal.stderr, /registryfs: unknown mount option "bogus"/)
})

test('bin/registryfs runs from the checkout, also through a link', options, async (t) => {
  const files = await temporaryDirectory(t)
  const bin = join(packageRoot, 'bin/registryfs')
  await symlink(bin, join(files, 'registryfs'))
  for (const path of [bin, join(files, 'registryfs')])
    assert.match(stdoutOf(await run(path, ['--version'])), /^\d/)
  assert.ok(fileURLToPath(import.meta.url).startsWith(packageRoot))
})
