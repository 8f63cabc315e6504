import assert from 'node:assert/strict'
import { test } from 'node:test'
import { authFilePaths } from '../../../../src/registry/credentials/auth-file-paths.js'
import { parseAuthFile } from '../../../../src/registry/credentials/auth-file.js'
import { helperServer, keysOf, normalKey } from '../../../../src/registry/credentials/registry-key.js'

const encoded = (text: string): string => Buffer.from(text).toString('base64')

test('the files come in the order of podman, and one that is named is the only one', () => {
  const paths = (environment: NodeJS.ProcessEnv, authFile?: string): readonly string[] =>
    authFilePaths(authFile, environment, '/home/u', 1000).map(({ path }) => path)
  assert.deepEqual(paths({}), [
    '/run/containers/1000/auth.json',
    '/home/u/.config/containers/auth.json',
    '/home/u/.docker/config.json',
    '/home/u/.dockercfg',
  ])
  assert.deepEqual(paths({ XDG_RUNTIME_DIR: '/run/user/1', XDG_CONFIG_HOME: '/c', DOCKER_CONFIG: '/d' }), [
    '/run/user/1/containers/auth.json',
    '/c/containers/auth.json',
    '/d/config.json',
    '/home/u/.dockercfg',
  ])
  assert.deepEqual(paths({ REGISTRY_AUTH_FILE: '/r' }), ['/r'])
  assert.deepEqual(paths({ REGISTRY_AUTH_FILE: '/r' }, '/f'), ['/f'])
})

test('keys go from the repository up to the host, and Docker Hub has one name', () => {
  assert.deepEqual(keysOf({ host: 'quay.io', path: 'a/b' }), ['quay.io/a/b', 'quay.io/a', 'quay.io'])
  assert.deepEqual(keysOf({ host: 'Registry.Local:5000', path: '' }), ['registry.local:5000'])
  assert.equal(keysOf({ host: 'docker.io', path: 'library/debian' }).at(-1), 'index.docker.io')
  for (const key of ['https://index.docker.io/v1/', 'docker.io', 'registry-1.docker.io', 'Docker.IO/'])
    assert.equal(normalKey(key), 'index.docker.io', key)
  assert.equal(normalKey('https://quay.io/v2/'), 'quay.io')
  assert.equal(normalKey('http://quay.io'), 'quay.io')
  assert.equal(normalKey('Quay.io/a/b'), 'quay.io/a/b')
  assert.equal(normalKey('docker.io/library/debian'), 'index.docker.io/library/debian')
  assert.equal(helperServer('docker.io'), 'https://index.docker.io/v1/')
  assert.equal(helperServer('quay.io:443'), 'quay.io:443')
})

test('a password may hold a colon, NULs around it are docker padding, and an empty entry is none', () => {
  const auths = {
    'a.example': { auth: encoded('u:p:q') },
    'b.example': { auth: encoded('u:p\0\0') },
    'c.example': {},
    'd.example': { auth: encoded('u:x'), identitytoken: 'idt' },
    'e.example': { username: 'n', password: 'w' },
    'f.example': 'nonsense',
    'g.example': { auth: 7 },
  }
  const { credentials, store, helpers } = parseAuthFile(JSON.stringify({ auths }), false, 'x')
  const basic = (username: string, password: string): object => ({
    username,
    password,
    isIdentityToken: false,
  })
  assert.deepEqual(Object.fromEntries(credentials), {
    'a.example': basic('u', 'p:q'),
    'b.example': basic('u', 'p'),
    'd.example': { username: 'u', password: 'idt', isIdentityToken: true },
    'e.example': basic('n', 'w'),
  })
  assert.equal(store, undefined)
  assert.equal(helpers.size, 0)
})

const notBase64 = 'is not base64'
const noColon = 'has no colon between user and password'
for (const [what, auth, reason] of [
  ['is not base64', 'u:s3cret', notBase64],
  ['is in the alphabet for URLs', Buffer.from('u:\xfb\xff\xfe?', 'latin1').toString('base64url'), notBase64],
  ['has no padding', encoded('u:s3cret').replaceAll('=', ''), notBase64],
  ['is cut off', encoded('u:s3cret').slice(0, 7), notBase64],
  ['has padding in its middle', `${encoded('u:s')}=${encoded('ecret')}`, notBase64],
  ['has no colon', encoded('s3cret'), noColon],
  ['is a number', 7, 'is not a string'],
] as const) {
  test(`an auth that ${what} is no credential, and its key is told`, () => {
    const auths = {
      'https://a.example/v1/': { auth, username: 'n', password: 'w', identitytoken: 'i' },
      'b.example': { auth: encoded('u:p') },
    }
    const { credentials, broken } = parseAuthFile(JSON.stringify({ auths }), false, '/x/auth.json')
    assert.deepEqual([...credentials.keys()], ['b.example'])
    const told = `/x/auth.json: the auth of "https://a.example/v1/" ${reason}`
    assert.deepEqual([...broken], [['a.example', told]])
  })
}

test('line breaks in an auth do not count, and null or nothing in it is no mistake', () => {
  const text = encoded('user:a password')
  const auths = {
    'a.example': { auth: `${text.slice(0, 8)}\r\n${text.slice(8)}\n` },
    'b.example': { auth: '' },
    'c.example': { auth: null },
    'd.example': null,
  }
  const { credentials, broken } = parseAuthFile(JSON.stringify({ auths }), false, 'x')
  assert.equal(credentials.get('a.example')?.password, 'a password')
  assert.deepEqual([credentials.size, broken.size], [1, 0])
})

test('helpers and the store are read, and ~/.dockercfg is the map alone', () => {
  const text = JSON.stringify({ credHelpers: { 'https://ecr.example/': 'ecr-login' }, credsStore: 'desktop' })
  const file = parseAuthFile(text, false, 'x')
  assert.deepEqual([...file.helpers], [['ecr.example', 'ecr-login']])
  assert.equal(file.store, 'desktop')
  const legacy = parseAuthFile(
    JSON.stringify({ 'https://a.example/v1/': { auth: encoded('u:p') } }),
    true,
    'x',
  )
  assert.equal(legacy.credentials.get('a.example')?.password, 'p')
  assert.equal(legacy.store, undefined)
})

test('what is no JSON object is refused, without a word of what it holds', () => {
  for (const text of ['', '{"auths":{"a":{"auth":"c2VjcmV0', '[]', '"s"', 'null'])
    assert.throws(() => parseAuthFile(text, false, '/x/auth.json'), {
      code: 'INVALID',
      message: /^\/x\/auth\.json: not (JSON|a JSON object)$/,
    })
})
