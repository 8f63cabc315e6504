import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { MirrorConfig, type PulledBy } from '../../../../src/registry/mirrors/mirror-config.js'
import { parseRegistriesConf } from '../../../../src/registry/mirrors/registries-conf.js'
import { loadRegistriesConf } from '../../../../src/registry/mirrors/registries-files.js'
import type { Source } from '../../../../src/registry/mirrors/source.js'
import { parseToml } from '../../../../src/registry/mirrors/toml-file.js'
import { lineOf, type TomlPath } from '../../../../src/registry/mirrors/toml-line.js'
import { parseReference } from '../../../../src/registry/reference.js'
import { hasCode } from '../../../../src/util/errors.js'
import { recordingLogger } from '../../../support/fake-registry-client.js'
import { temporaryDirectory } from '../../../support/temporary-directory.js'

async function files(t: TestContext, contents: Readonly<Record<string, string>>): Promise<string> {
  const directory = await temporaryDirectory(t)
  for (const [name, text] of Object.entries(contents)) {
    const path = join(directory, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  return directory
}

function rules(text: string): MirrorConfig {
  return new MirrorConfig(parseRegistriesConf(parseToml(text, 'r.conf')), undefined)
}

function shown(source: Source): string {
  const { repository, endpoint } = source
  const where =
    endpoint === undefined
      ? ''
      : ` ${endpoint.base.href}${endpoint.namespace === undefined ? '' : ` ns=${endpoint.namespace}`}`
  const uses = [source.resolves ? 'tags' : '', source.pulls ? 'digests' : ''].filter(Boolean).join('+')
  return `${repository.host}/${repository.path}${where} ${uses}`
}

function sources(config: MirrorConfig, name: string, pulledBy: PulledBy = 'tag'): readonly string[] {
  const { mirrors, primary } = config.sourcesOf(parseReference(name), pulledBy)
  return [...mirrors, primary].map(shown)
}

test('registries.conf: the longest prefix wins, ends at a component, and is rewritten', () => {
  const config = rules(`
unqualified-search-registries = ["x.test"]
[[registry]]
prefix = "quay.io"
location = "mirror.test:5000/quay"
[[registry]]
prefix = "quay.io/team"
location = "team.test"
[[registry]]
prefix = "*.corp.test"
location = "corp-cache.test/all"
[[registry]]
prefix = "*.special.corp.test"
[[registry]]
location = "docker.io"
`)
  assert.deepEqual(sources(config, 'quay.io/a/b'), ['mirror.test:5000/quay/a/b tags+digests'])
  assert.deepEqual(sources(config, 'quay.io/team/b'), ['team.test/b tags+digests'])
  assert.deepEqual(sources(config, 'quay.io/teamx/b'), ['mirror.test:5000/quay/teamx/b tags+digests'])
  assert.deepEqual(sources(config, 'a.b.corp.test/x'), ['corp-cache.test/all/x tags+digests'])
  assert.deepEqual(sources(config, 'corp.test/x'), ['corp.test/x tags+digests'])
  assert.deepEqual(sources(config, 'a.special.corp.test/x'), ['a.special.corp.test/x tags+digests'])
  assert.deepEqual(sources(config, 'debian'), ['docker.io/library/debian tags+digests'])
  assert.deepEqual(sources(config, 'quay.io:443/a'), ['quay.io:443/a tags+digests'])
})

test('registries.conf: mirrors in order for what they are for, insecure ones known, what is blocked refused', () => {
  const config = rules(`
[[registry]]
location = "quay.io"
[[registry.mirror]]
location = "one.test/q"
insecure = true
[[registry.mirror]]
location = "two.test"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "three.test"
pull-from-mirror = "tag-only"
[[registry]]
location = "digests.test"
mirror-by-digest-only = true
mirror = [{ location = "four.test" }]
[[registry]]
prefix = "bad.test/evil"
blocked = true
`)
  assert.deepEqual(sources(config, 'quay.io/a', 'tag'), [
    'one.test/q/a tags+digests',
    'three.test/a tags+digests',
    'quay.io/a tags+digests',
  ])
  assert.deepEqual(sources(config, 'quay.io/a', 'digest'), [
    'one.test/q/a tags+digests',
    'two.test/a tags+digests',
    'quay.io/a tags+digests',
  ])
  assert.deepEqual(sources(config, 'digests.test/a', 'tag'), ['digests.test/a tags+digests'])
  assert.equal(sources(config, 'digests.test/a', 'digest')[0], 'four.test/a tags+digests')
  assert.deepEqual(config.insecureHosts, ['one.test'])
  assert.throws(
    () => sources(config, 'bad.test/evil/x'),
    (error) => hasCode(error, 'DENIED') && /blocked by r\.conf/.test(String(error)),
  )
  assert.deepEqual(sources(config, 'bad.test/good'), ['bad.test/good tags+digests'])
})

test('registries.conf: later files replace a prefix, a file that is named counts alone', async (t) => {
  const home = await files(t, {
    '.config/containers/registries.conf':
      '[[registry]]\nlocation="a.test"\n[[registry]]\nlocation="b.test"\n',
    '.config/containers/registries.conf.d/2.conf': '[[registry]]\nprefix="a.test"\nlocation="second.test"\n',
    '.config/containers/registries.conf.d/1.conf': '[[registry]]\nprefix="a.test"\nlocation="first.test"\n',
    'mine.conf': '[[registry]]\nlocation="c.test"\n',
    'mine.conf.d/x.conf': '[[registry]]\nlocation="d.test"\n',
    'mine.conf.d/x.txt': 'not read',
  })
  const found = (named?: string, env: NodeJS.ProcessEnv = {}): readonly string[] =>
    loadRegistriesConf(named, { HOME: home, ...env })
      .map(({ prefix, location }) => `${prefix}=${location}`)
      .filter((rule) => rule.includes('.test'))
  assert.deepEqual(found(), ['a.test=second.test', 'b.test=b.test'])
  assert.deepEqual(found(join(home, 'mine.conf')), ['c.test=c.test', 'd.test=d.test'])
  assert.deepEqual(found(undefined, { CONTAINERS_REGISTRIES_CONF: join(home, 'mine.conf') }), [
    'c.test=c.test',
    'd.test=d.test',
  ])
  assert.throws(() => found(join(home, 'nothing.conf')), /nothing\.conf: there is no such file/)
})

test('a mistake in a file is one line with the file and the place', async (t) => {
  const wrong: Readonly<Record<string, RegExp>> = {
    '[[registry]]\nlocation = ': /^.*r\.conf:2:\d+: \S/,
    '[[registry]]\nlocation = 5': /r\.conf:2: registry\[0\]\.location must be a string/,
    '[[registry]]\ninsecure = true': /r\.conf:1: registry\[0\] needs a location or a prefix/,
    '[[registry]]\nlocation = "https://a.test"':
      /r\.conf:2: registry\[0\]\.location must be a host .* not a URL/,
    '[[registry]]\nlocation = "a.test"\n[[registry.mirror]]\nlocation = "b.test"\npull-from-mirror = "never"':
      /r\.conf:5: registry\[0\]\.mirror\[0\]\.pull-from-mirror must be all, digest-only or tag-only/,
    '[registries.search]\nregistries = []': /r\.conf:1: registries is the format of version 1/,
    '# two\n[[registry]]\nlocation = "a.test"\n\n[[registry]]\nprefix = "a.test"':
      /r\.conf:5: registry\[1\] has the prefix a\.test, which is there twice/,
  }
  for (const [text, reason] of Object.entries(wrong))
    assert.throws(
      () => rules(text),
      (error) => hasCode(error, 'INVALID') && reason.test(String(error)) && !String(error).includes('\n'),
      text,
    )
  const hosts: Readonly<Record<string, RegExp>> = {
    'server = "https://a.test\n': /hosts\.toml:1:\d+/,
    '[host."ftp://m"]': /hosts\.toml:1: host\."ftp:\/\/m" must be a host or an http or https URL/,
    '[host."https://m"]\ncapabilities = ["pul"]':
      /hosts\.toml:2: host\."https:\/\/m"\.capabilities\[0\] must be pull, resolve or push/,
    '\n[host."https://m"]\n# long\ncapabilities = [\n  "pull",\n  "pul",\n]\nskip_verify = true\n':
      /hosts\.toml:4: host\."https:\/\/m"\.capabilities\[1\] must be pull/,
    '[host."https://m"]\ndial_timeout = "soon"': /hosts\.toml:2: .*dial_timeout must be a time/,
    '[host."https://m"]\nclient = [["a"]]': /client\[0\] must be a certificate and its key/,
  }
  for (const [text, reason] of Object.entries(hosts)) {
    const directory = await files(t, { 'a.test/hosts.toml': text })
    const config = new MirrorConfig([], directory)
    assert.throws(
      () => sources(config, 'a.test/x'),
      (error) => hasCode(error, 'INVALID') && reason.test(String(error)) && !String(error).includes('\n'),
      text,
    )
  }
})

test('hosts.toml: hosts in the order of the file, as containerd reads them', async (t) => {
  const directory = await files(t, {
    'docker.io/hosts.toml': `
server = "https://registry-1.docker.io"
[host."https://z.test"]
  capabilities = ["pull"]
  ca = "ca.pem"
  client = [["c.cert", "/abs/c.key"]]
  skip_verify = true
  dial_timeout = "1m30s"
  [host."https://z.test".header]
    X-One = "1"
    X-Two = ["a", "b"]
[host."http://a.test:5000/proxy"]
  capabilities = ["pull", "resolve"]
[host."https://b.test/v2/hub"]
  override_path = true
[host."registry-1.docker.io"]
`,
  })
  const config = new MirrorConfig([], directory)
  assert.deepEqual(sources(config, 'debian'), [
    'z.test/library/debian https://z.test/v2/ ns=docker.io digests',
    'a.test:5000/library/debian http://a.test:5000/proxy/v2/ ns=docker.io tags+digests',
    'b.test/library/debian https://b.test/v2/hub/ ns=docker.io tags+digests',
    'docker.io/library/debian https://registry-1.docker.io/v2/ tags+digests',
    'docker.io/library/debian https://registry-1.docker.io/v2/ tags+digests',
  ])
  const connection = config.sourcesOf(parseReference('debian'), 'tag').mirrors[0]?.endpoint?.connection
  assert.deepEqual(connection, {
    id: `${directory}/docker.io/hosts.toml https://z.test 1`,
    origin: 'https://z.test',
    headers: { 'x-one': '1', 'x-two': 'a, b' },
    caFiles: [join(directory, 'docker.io/ca.pem')],
    clientCertificates: [{ certificate: join(directory, 'docker.io/c.cert'), key: '/abs/c.key' }],
    skipVerify: true,
    connectTimeoutMs: 90_000,
  })
})

test('hosts.toml: the directories of a host are tried as containerd does', async (t) => {
  const entry = (name: string): string => `[host."https://${name}.test"]\n`
  const directory = await files(t, {
    'a.test_5000_/hosts.toml': entry('underscored'),
    'a.test:5000/hosts.toml': entry('colon'),
    'b.test:5000/hosts.toml': entry('colon'),
    'c.test/readme': 'no hosts.toml and no certificate',
    '_default/hosts.toml': entry('default'),
  })
  const config = new MirrorConfig([], directory)
  const first = (name: string): string | undefined => sources(config, name)[0]?.split('/')[0]
  assert.equal(first('a.test:5000/x'), 'underscored.test')
  assert.equal(first('b.test:5000/x'), 'colon.test')
  assert.equal(first('c.test/x'), 'c.test')
  assert.equal(first('d.test/x'), 'default.test')
  assert.deepEqual(sources(new MirrorConfig([], join(directory, 'nowhere')), 'd.test/x'), [
    'd.test/x tags+digests',
  ])
})

test('the line of a value is that of the statement that gives it, whatever stands around it', () => {
  const text =
    'a = 1\r\n\n# x\nb = [\n  1,\n\n  2 ]\n[t]\nc = """\nd = 5\n"""\nd = { e = 1 }\n[[l]]\n[[l]]\nz = 1\n'
  const lines: readonly [TomlPath, number | undefined][] = [
    [['a'], 1],
    [['b'], 4],
    [['b', 1], 4],
    [['t'], 8],
    [['t', 'c'], 9],
    [['t', 'd', 'e'], 12],
    [['l', 0], 13],
    [['l', 1], 14],
    [['l', 1, 'z'], 15],
    [['l', 2], undefined],
    [[], undefined],
  ]
  for (const [path, line] of lines) assert.equal(lineOf(text, path), line, path.join('.'))
})

test('more than seven mirrors are told of once, and the first seven are asked', () => {
  const logged: string[] = []
  const mirrors = Array.from({ length: 9 }, (_, i) => `{ location = "m${String(i)}.test" }`).join(', ')
  const text = `[[registry]]\nlocation = "a.test"\nmirror = [${mirrors}]`
  const config = new MirrorConfig(
    parseRegistriesConf(parseToml(text, 'r.conf')),
    undefined,
    recordingLogger(logged),
  )
  for (const name of ['a.test/x', 'a.test/y']) assert.equal(sources(config, name).length, 7 + 1)
  assert.equal(logged.length, 1)
  assert.match(logged[0] ?? '', /"host":"a\.test","mirrors":9,"asked":7.*too many mirrors/)
})

test('a hosts.toml that changes is read again; while it is no good what it said before counts', async (t) => {
  const directory = await files(t, { 'a.test/hosts.toml': '[host."https://one.test"]' })
  const logged: string[] = []
  const clock = { ms: 0 }
  const config = new MirrorConfig([], directory, recordingLogger(logged), () => clock.ms)
  const mirrors = (): readonly string[] => {
    clock.ms += 1_001
    return config
      .sourcesOf(parseReference('a.test/x'), 'tag')
      .mirrors.map(({ endpoint }) => endpoint?.connection.id.replace(`${directory}/`, '') ?? '')
  }
  const path = join(directory, 'a.test/hosts.toml')
  assert.deepEqual(mirrors(), ['a.test/hosts.toml https://one.test 1'])
  assert.deepEqual(mirrors(), ['a.test/hosts.toml https://one.test 1'])
  await writeFile(path, '[host."https://second.test"]')
  // Not looked at again within the same second.
  clock.ms -= 1_001
  assert.deepEqual(mirrors(), ['a.test/hosts.toml https://one.test 1'])
  assert.deepEqual(mirrors(), ['a.test/hosts.toml https://second.test 2'])
  await writeFile(path, '[host."https://third.test"]\nskip_verify = "no"')
  for (let i = 0; i < 3; i++) assert.deepEqual(mirrors(), ['a.test/hosts.toml https://second.test 2'])
  assert.equal(
    logged.filter((line) => /hosts\.toml:2: .*skip_verify must be true or false/.test(line)).length,
    1,
  )
  await rm(path)
  assert.deepEqual(mirrors(), [])
  await writeFile(path, '[host."https://third.test"]')
  assert.match(mirrors()[0] ?? '', /third/)
})

test('a catalog is that of the primary: where it has moved to, and never of what is blocked', () => {
  const config = rules(`
[[registry]]
location = "a.test"
mirror = [{ location = "m.test" }]
[[registry]]
prefix = "b.test"
location = "moved.test:5000"
[[registry]]
prefix = "c.test"
location = "cache.test/c"
[[registry]]
location = "d.test"
blocked = true
`)
  const host = (name: string): string | undefined => config.catalogSourceOf(name)?.repository.host
  assert.deepEqual(['a.test', 'b.test', 'c.test', 'e.test'].map(host), [
    'a.test',
    'moved.test:5000',
    undefined,
    'e.test',
  ])
  assert.throws(
    () => host('d.test'),
    (error) => hasCode(error, 'DENIED'),
  )
})
