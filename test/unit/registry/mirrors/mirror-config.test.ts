import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { MirrorConfig } from '../../../../src/registry/mirrors/mirror-config.js'
import { parseRegistriesConf } from '../../../../src/registry/mirrors/registries-conf.js'
import { loadRegistriesConf } from '../../../../src/registry/mirrors/registries-files.js'
import type { Source } from '../../../../src/registry/mirrors/source.js'
import { parseToml } from '../../../../src/registry/mirrors/toml-file.js'
import { parseReference } from '../../../../src/registry/reference.js'
import { hasCode } from '../../../../src/util/errors.js'
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
  const uses = [source.resolves ? 't' : '', source.pulls ? 'd' : '', source.sendsBlobs ? 'b' : ''].join('')
  return `${repository.host}/${repository.path}${where} ${uses}`
}

function sources(config: MirrorConfig, name: string): readonly string[] {
  const { mirrors, primary } = config.sourcesOf(parseReference(name))
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
  assert.deepEqual(sources(config, 'quay.io/a/b'), ['mirror.test:5000/quay/a/b tdb'])
  assert.deepEqual(sources(config, 'quay.io/team/b'), ['team.test/b tdb'])
  assert.deepEqual(sources(config, 'quay.io/teamx/b'), ['mirror.test:5000/quay/teamx/b tdb'])
  assert.deepEqual(sources(config, 'a.b.corp.test/x'), ['corp-cache.test/all/x tdb'])
  assert.deepEqual(sources(config, 'corp.test/x'), ['corp.test/x tdb'])
  assert.deepEqual(sources(config, 'a.special.corp.test/x'), ['a.special.corp.test/x tdb'])
  assert.deepEqual(sources(config, 'debian'), ['docker.io/library/debian tdb'])
  assert.deepEqual(sources(config, 'quay.io:443/a'), ['quay.io:443/a tdb'])
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
  assert.deepEqual(sources(config, 'quay.io/a'), [
    'one.test/q/a tdb',
    'two.test/a db',
    'three.test/a tb',
    'quay.io/a tdb',
  ])
  assert.deepEqual(sources(config, 'digests.test/a'), ['four.test/a db', 'digests.test/a tdb'])
  assert.deepEqual(config.insecureHosts, ['one.test'])
  assert.throws(
    () => sources(config, 'bad.test/evil/x'),
    (error) => hasCode(error, 'DENIED') && /blocked by r\.conf/.test(String(error)),
  )
  assert.deepEqual(sources(config, 'bad.test/good'), ['bad.test/good tdb'])
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
    '[[registry]]\nlocation = 5': /r\.conf: registry\[0\]\.location must be a string/,
    '[[registry]]\ninsecure = true': /r\.conf: registry\[0\] needs a location or a prefix/,
    '[[registry]]\nlocation = "https://a.test"': /registry\[0\]\.location must be a host .* not a URL/,
    '[[registry]]\nlocation = "a.test"\n[[registry.mirror]]\nlocation = "b.test"\npull-from-mirror = "never"':
      /registry\[0\]\.mirror\[0\]\.pull-from-mirror must be all, digest-only or tag-only/,
    '[registries.search]\nregistries = []': /registries is the format of version 1/,
  }
  for (const [text, reason] of Object.entries(wrong))
    assert.throws(
      () => rules(text),
      (error) => hasCode(error, 'INVALID') && reason.test(String(error)) && !String(error).includes('\n'),
      text,
    )
  const hosts: Readonly<Record<string, RegExp>> = {
    'server = "https://a.test\n': /hosts\.toml:1:\d+/,
    '[host."ftp://m"]': /hosts\.toml: host\."ftp:\/\/m" must be a host or an http or https URL/,
    '[host."https://m"]\ncapabilities = ["pul"]':
      /host\."https:\/\/m"\.capabilities\[0\] must be pull, resolve or push/,
    '[host."https://m"]\ndial_timeout = "soon"': /dial_timeout must be a time/,
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
    'z.test/library/debian https://z.test/v2/ ns=docker.io db',
    'a.test:5000/library/debian http://a.test:5000/proxy/v2/ ns=docker.io tdb',
    'b.test/library/debian https://b.test/v2/hub/ ns=docker.io tdb',
    'docker.io/library/debian https://registry-1.docker.io/v2/ tdb',
    'docker.io/library/debian https://registry-1.docker.io/v2/ tdb',
  ])
  const connection = config.sourcesOf(parseReference('debian')).mirrors[0]?.endpoint?.connection
  assert.deepEqual(connection, {
    id: `${directory}/docker.io/hosts.toml https://z.test`,
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
  assert.deepEqual(sources(new MirrorConfig([], join(directory, 'nowhere')), 'd.test/x'), ['d.test/x tdb'])
})
