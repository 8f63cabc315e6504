/** A program for mount tests: mounts images that are made of JavaScript objects. SIGUSR2 moves the tag `moving:1`. */
import { runMount } from '../../src/cli/run-mount.js'
import { fuseNativeBinding } from '../../src/fuse/fuse-native.js'
import { nativeBinding } from '../../src/fuse/native-binding.js'
import { parseReference } from '../../src/registry/reference.js'
import { describeError, RegistryFsError } from '../../src/util/errors.js'
import { pino } from 'pino'
import { sparseBytes, sparseData } from './sparse-file.js'
import {
  dir,
  file,
  MemoryImages,
  node,
  patternSource,
  sparseSource,
  stuckSource,
  symlink,
  type MemoryContents,
} from './memory-images.js'

const host = '127.0.0.1:5000'
const many = Object.fromEntries(
  Array.from({ length: 10_000 }, (_, n) => [`entry-${String(n).padStart(5, '0')}`, file('x')]),
)
const codes = ['UNAUTHORIZED', 'TIMEOUT', 'CORRUPT', 'UNSUPPORTED', 'GONE', 'LIMIT'] as const
const failing = Object.fromEntries(
  codes.map((code) => [code, failingFile(new RegistryFsError(code, `made to fail with ${code}`))]),
)
const twice = file('one file with two names\n', { linkCount: 2 })

function failingFile(error: Error): MemoryContents {
  return file({ size: 10, read: async () => Promise.reject(error) })
}

const images = new MemoryImages()
const sparseBlocks = sparseData.reduce((sum, [start, end]) => sum + (end - start) / 512, 0)
images.set(
  `${host}/disks/vm:1`,
  dir({
    disk: dir(
      { 'disk.img': file(patternSource(5 * 2 ** 30 + 123), { mode: 0o440, uid: 107, gid: 107 }) },
      { mode: 0o555 },
    ),
    hello: file('hello\n', {
      xattrs: { 'user.greeting': 'hi', 'security.capability': 'cap' },
      mtimeSeconds: 1_234_567_890,
    }),
    large: file(patternSource(8 * 2 ** 20)),
    link: symlink('disk/disk.img'),
    one: twice,
    two: twice,
    null: node('character-device', { mode: 0o666, deviceMajor: 1, deviceMinor: 3 }),
    fifo: node('fifo', { mode: 0o600 }),
    'not\xffutf8': file('bytes\n'),
    'systemd\\x2dname': file('literal\n'),
    'caf\xc3\xa9': file('utf-8\n'),
    'to-bytes': symlink('not\xffutf8'),
    many: dir(many),
    failing: dir({ ...failing, BUG: failingFile(new Error('a bug of ours')) }),
    stuck: file(stuckSource(1000)),
    waiting: dir(
      Object.fromEntries(Array.from({ length: 40 }, (_, n) => [String(n), file(stuckSource(1000))])),
    ),
    sparse: file(sparseSource(sparseBytes, sparseData), { blocks: sparseBlocks }),
    // Pages of listings.
    'long-names': dir(
      Object.fromEntries(Array.from({ length: 300 }, (_, n) => [String(n).padStart(255, 'n'), file('x')])),
    ),
    'stuck-directory': dir({}, { delayMs: 3_600_000 }),
    slow: dir({ there: file('at last\n') }, { delayMs: 700 }),
  }),
)
images.set(`${host}/disks/vm:latest`, dir({ latest: file('latest\n') }))
images.set(`${host}/top:2`, dir({ 'top-file': file('top\n') }))
images.set('debian:12', dir({ etc: dir({ issue: file('Debian 12\n') }) }))
images.set(`${host}/moving:1`, dir({ version: file('1\n') }))
images.fail(`${host}/secret:1`, new RegistryFsError('UNAUTHORIZED', 'log in first'))
images.fail('broken.example/x:1', new RegistryFsError('UNAVAILABLE', 'no such host'))

process.on('SIGUSR2', () => {
  images.set(`${host}/moving:1`, dir({ version: file('version two\n') }))
})

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stop.abort()
  })
}

const [mountPoint = '', ...flags] = process.argv.slice(2)
const plan = {
  mountPoint,
  aliases: new Map([
    ['vm', parseReference(`${host}/disks/vm:1`)],
    ['broken', parseReference('broken.example/x:1')],
  ]),
  defaultHost: 'docker.io',
  configuredHosts: ['configured'],
  readDeadlineMs: flags.includes('--short-deadline') ? 1_500 : 60_000,
  source: 'memory',
  allowOther: flags.includes('--allow-other'),
  defaultPermissions: flags.includes('--allow-other'),
  noExec: false,
  passthrough: false,
  allowNonEmpty: flags.includes('--nonempty'),
}
const core = {
  images,
  registry: images,
  status: async () => Promise.resolve({ hello: 'status' }),
  close: async () => Promise.resolve(),
}
try {
  await runMount(plan, {
    binding: flags.includes('--fuse-native') ? fuseNativeBinding : nativeBinding,
    openCore: async () => Promise.resolve(core),
    log: pino({ level: 'info' }, pino.destination({ dest: 2, sync: true })),
    onReady: async () => Promise.resolve(),
    stop: stop.signal,
  })
  process.exit(0)
} catch (error) {
  process.stderr.write(`registryfs: ${describeError(error)}\n`)
  process.exit(8)
}
