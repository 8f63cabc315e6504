import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { registryfs } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }
const layer = gzipLayer(
  tarOf(dir('etc'), file('etc/motd', 'hello\n'), file('disk', sampleData('mixed', 5 << 20))),
)

const byBytes = (one: Buffer, other: Buffer): number => Buffer.compare(one, other)

async function setUp(t: TestContext, ...names: string[]): Promise<{ registry: FakeRegistry; cache: string }> {
  const registry = await FakeRegistry.start()
  t.after(async () => registry.stop())
  for (const name of names) registry.addImage(name, 'v1', { layers: [layer] })
  return { registry, cache: join(await temporaryDirectory(t), 'cache') }
}

test('a tag that cannot be checked is told of by every command that uses it', options, async (t) => {
  const setup = await setUp(t, 'disk')
  const { registry } = setup
  const reference = `${registry.host}/disk:v1`
  const before = Date.now()
  assert.equal((await registryfs(setup, 'index', reference)).stderr, '')
  const after = Date.now()
  registry.faults = { failing: { kind: 'any', status: 403, times: 1000 } }
  for (const words of [['ls'], ['inspect'], ['index'], ['cat', 'etc/motd']]) {
    const [command = '', ...rest] = words
    const { code, stdout, stderr } = await registryfs(setup, command, reference, ...rest)
    assert.equal(code, 0, stderr)
    assert.notEqual(stdout, '')
    const line = /^registryfs: (\S+): using the tag as it was at (\S+Z): [^\n]*403[^\n]*\n$/.exec(stderr)
    assert.equal(line?.[1], reference, stderr)
    const time = Date.parse(line[2] ?? '')
    assert.ok(time >= before - 1000 && time <= after + 1000, stderr)
  }
})

test(
  'index goes on after a failure, names each, and ends with the status of the first',
  options,
  async (t) => {
    const setup = await setUp(t, 'one', 'two')
    const { registry } = setup
    const { bytes } = layer
    registry.addImage('bad', 'v1', { layers: [{ ...layer, bytes: bytes.subarray(0, bytes.length >> 1) }] })
    const references = ['one', 'bad', 'none', 'two'].map((name) => `${registry.host}/${name}:v1`)
    const ran = await registryfs(setup, 'index', ...references)
    assert.equal(ran.code, 6)
    const done = ran.stdout.trim().split('\n')
    assert.deepEqual(
      done.map((line) => line.split(': ')[0]),
      [references[0], references[3]],
    )
    const [bad, none, ...more] = ran.stderr.trim().split('\n')
    assert.deepEqual(more, [])
    assert.match(bad ?? '', new RegExp(`truncated.*image ${references[1] ?? ''}, layer sha256:`))
    assert.match(none ?? '', new RegExp(references[2] ?? ''))
  },
)

test('index fails where the index cannot be kept, and tells of chunks that are not', options, async (t) => {
  const setup = await setUp(t, 'disk')
  const reference = `${setup.registry.host}/disk:v1`
  await mkdir(setup.cache, { mode: 0o700 })
  await writeFile(join(setup.cache, 'indexes'), '')
  const lost = await registryfs(setup, 'index', reference)
  assert.deepEqual([lost.code, lost.stdout], [8, ''], lost.stderr)
  assert.match(
    lost.stderr,
    /^registryfs: the index is not kept: [^\n]*ENOTDIR[^\n]*disk:v1, layer sha256:\w+\)\n$/,
  )
  for (const [flag, value, reason] of [
    ['--free-reserve', '1000T', /no more free space than the reserve/],
    ['--cache-size', '1M', /--cache-size/],
  ] as const) {
    const other = { cache: join(setup.cache, flag) }
    const ran = await registryfs(other, 'index', reference, flag, value)
    assert.equal(ran.code, 0)
    assert.match(ran.stderr, /^registryfs: \S+disk:v1: [0-9.]+ MiB of its chunks are not kept: [^\n]+\n$/)
    assert.match(ran.stderr, reason)
  }
})

test('ls prints names that cat and ls take back, and JSON the real ones', options, async (t) => {
  const setup = await setUp(t)
  const names = ['a\u001b[2J', 'back\\x41', 'backA'].map((name) => Buffer.from(name))
  names.push(Buffer.from([0x66, 0xff, 0x5c]))
  const members = names.map((name, i) => file(Buffer.concat([Buffer.from('d/'), name]), String(i)))
  setup.registry.addImage('names', 'v1', { layers: [gzipLayer(tarOf(dir('d'), ...members))] })
  const reference = `${setup.registry.host}/names:v1`
  const stdoutOf = async (command: string, ...words: string[]): Promise<string> =>
    (await registryfs(setup, command, ...words)).stdout
  // Without an index they come in the order of the tar.
  await stdoutOf('index', reference)
  const shown = (await stdoutOf('ls', reference, 'd')).trim().split('\n')
  assert.equal(shown.length, names.length)
  assert.deepEqual(
    (await Promise.all(shown.map(async (name) => stdoutOf('cat', reference, `d/${name}`)))).sort(),
    names.map((_, i) => String(i)),
  )
  const recursive = shown.map((name) => `d/${name}`)
  assert.equal(await stdoutOf('ls', '-R', reference), ['d', ...recursive, ''].join('\n'))
  assert.equal(await stdoutOf('ls', reference, recursive[0] ?? ''), `${recursive[0] ?? ''}\n`)
  // Typed as it is, where nothing is shown so.
  assert.equal(await stdoutOf('cat', reference, 'd/f\\xff\\'), '3')
  const json = (await stdoutOf('ls', '--json', reference, 'd')).trim().split('\n')
  const real = json.map((line) => {
    const { name, nameBase64 } = JSON.parse(line) as { name: string; nameBase64?: string }
    return nameBase64 === undefined ? Buffer.from(name) : Buffer.from(nameBase64, 'base64')
  })
  assert.deepEqual(real.sort(byBytes), [...names].sort(byBytes))
})
