import assert from 'node:assert/strict'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { CredentialStore } from '../../../../src/registry/credentials/credential-store.js'
import { recordingLogger } from '../../../support/fake-registry-client.js'
import { temporaryDirectory } from '../../../support/temporary-directory.js'

const encoded = (text: string): string => Buffer.from(text).toString('base64')
const fedora = { host: 'quay.io', path: 'containerdisks/fedora' }

async function setUp(t: TestContext, ...files: readonly (object | string | undefined)[]) {
  const directory = await temporaryDirectory(t)
  const path = (index: number): string => join(directory, `${String(index)}.json`)
  const write = async (index: number, content: object | string): Promise<void> =>
    writeFile(path(index), typeof content === 'string' ? content : JSON.stringify(content))
  for (const [index, content] of files.entries()) if (content !== undefined) await write(index, content)
  const logged: string[] = []
  const store = new CredentialStore({
    files: files.map((_, index) => ({ path: path(index), isLegacy: false, isRequired: false })),
    log: recordingLogger(logged),
    helperDeadlineMs: 300,
  })
  /** `docker-credential-<name>`, which writes down what it was asked for. */
  const addHelper = async (name: string, script: string): Promise<void> => {
    const program = join(directory, `docker-credential-${name}`)
    await writeFile(
      program,
      `#!/bin/sh\nserver=$(cat)\necho "$1 $server" >>${join(directory, 'asked')}\n${script}\n`,
    )
    await chmod(program, 0o755)
  }
  const before = process.env['PATH']
  process.env['PATH'] = `${directory}:${before ?? ''}`
  t.after(() => {
    process.env['PATH'] = before
  })
  const asked = async (): Promise<readonly string[]> =>
    (await readFile(join(directory, 'asked'), 'utf8').catch(() => '')).trim().split('\n')
  const passwordOf = async (repository = fedora): Promise<string | undefined> =>
    (await store.find(repository)).credential?.password
  return { directory, store, write, path, addHelper, asked, passwordOf, logged }
}

const helperAnswer = (user: string, secret: string): string =>
  `echo '${JSON.stringify({ ServerURL: 'x', Username: user, Secret: secret })}'`

test('the first file with a hit wins, and in a file the most specific key', async (t) => {
  const { passwordOf } = await setUp(
    t,
    undefined,
    { auths: { 'other.example': { auth: encoded('u:0') }, 'quay.io': {} } },
    {
      auths: {
        'quay.io': { auth: encoded('u:host') },
        'quay.io/containerdisks': { auth: encoded('u:namespace') },
        'quay.io/containerdisks/fedora': { auth: encoded('u:repository') },
        'quay.io/container': { auth: encoded('u:prefix') },
      },
    },
    { auths: { 'quay.io': { auth: encoded('u:late') } } },
  )
  assert.equal(await passwordOf(), 'repository')
  assert.equal(await passwordOf({ host: 'quay.io', path: 'containerdisks/centos' }), 'namespace')
  assert.equal(await passwordOf({ host: 'quay.io', path: 'else' }), 'host')
  assert.equal(await passwordOf({ host: 'quay.io', path: '' }), 'host')
  assert.equal(await passwordOf({ host: 'nowhere.example', path: 'a' }), undefined)
})

test('a file that changes on disk is read again', async (t) => {
  const { write, passwordOf } = await setUp(t, { auths: { 'quay.io': { auth: encoded('u:one') } } })
  assert.equal(await passwordOf(), 'one')
  await write(0, { auths: { 'quay.io': { auth: encoded('u:second') } } })
  assert.equal(await passwordOf(), 'second')
  await write(0, {})
  assert.equal(await passwordOf(), undefined)
})

test('a file that is broken is a problem that names it, told once, and the next file counts', async (t) => {
  const { store, passwordOf, logged, path, write } = await setUp(
    t,
    '{"auths": {"quay.io": {"auth": "c2VjcmV0',
    {},
  )
  const found = await store.find(fedora)
  assert.deepEqual(found, { problem: `${path(0)}: not JSON` })
  await store.find(fedora)
  assert.equal(logged.length, 1)
  assert.ok(!logged.join('').includes('c2Vj'))
  await write(1, { auths: { 'quay.io': { auth: encoded('u:good') } } })
  assert.equal(await passwordOf(), 'good')
})

test('an auth that is broken is a problem that names file and key, told once, and other keys and files count', async (t) => {
  const auth = Buffer.from('hunter2').toString('base64')
  const { store, passwordOf, logged, path, write } = await setUp(
    t,
    { auths: { 'quay.io': { auth }, 'quay.io/other': { auth: 'hunter2' } } },
    {},
  )
  const problem = `${path(0)}: the auth of "quay.io" has no colon between user and password`
  assert.deepEqual(await store.find(fedora), { problem })
  await store.find(fedora)
  assert.equal(logged.length, 1)
  const other = await store.find({ host: 'quay.io', path: 'other' })
  assert.deepEqual(other, { problem: `${path(0)}: the auth of "quay.io/other" is not base64; ${problem}` })
  assert.equal(logged.length, 2)
  assert.deepEqual(await store.find({ host: 'other.example', path: 'a' }), {})
  // Nothing of the value, plain or encoded.
  assert.doesNotMatch(logged.join(''), /hun|aHV/)
  await write(1, { auths: { 'quay.io': { auth: encoded('u:good') } } })
  assert.equal(await passwordOf(), 'good')
  const auths = { 'quay.io/containerdisks': { auth }, 'quay.io': { auth: encoded('u:host') } }
  await write(0, { auths })
  assert.equal(await passwordOf(), 'host')
  assert.equal(logged.length, 3)
})

test('a file that the user names must be there', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'none.json')
  const store = new CredentialStore({
    files: [{ path, isLegacy: false, isRequired: true }],
    log: recordingLogger([]),
  })
  await assert.rejects(store.check(), { code: 'INVALID', message: /none\.json: ENOENT/ })
  assert.match((await store.find(fedora)).problem ?? '', /none\.json: ENOENT/)
  await writeFile(path, '{}')
  await store.check()
})

test('a helper is asked for its registry, once in a while', async (t) => {
  const { store, addHelper, asked, passwordOf } = await setUp(t, {
    credHelpers: { 'quay.io': 'one', 'docker.io': 'one' },
  })
  await addHelper('one', helperAnswer('me', 'from-helper'))
  assert.equal(await passwordOf(), 'from-helper')
  assert.equal(await passwordOf({ host: 'quay.io', path: 'other' }), 'from-helper')
  assert.deepEqual(await asked(), ['get quay.io'])
  assert.equal(await passwordOf({ host: 'docker.io', path: 'library/debian' }), 'from-helper')
  assert.equal((await asked()).at(-1), 'get https://index.docker.io/v1/')
  await addHelper('one', helperAnswer('me', 'newer'))
  assert.equal((await store.find(fedora, { isFresh: true })).credential?.password, 'newer')
})

test('the user <token> means that the secret is an identity token', async (t) => {
  const { store, addHelper } = await setUp(t, { credsStore: 'cloud' })
  await addHelper('cloud', helperAnswer('<token>', 'refresh'))
  const { credential } = await store.find(fedora)
  assert.deepEqual(credential, { username: '<token>', password: 'refresh', isIdentityToken: true })
})

test('an entry in the file goes before the store of all, a helper of the registry before both', async (t) => {
  const { write, addHelper, passwordOf } = await setUp(t, {})
  await addHelper('store', helperAnswer('u', 'from-store'))
  await addHelper('own', helperAnswer('u', 'from-own'))
  const auths = { 'quay.io': { auth: encoded('u:from-file') } }
  await write(0, { auths: { 'quay.io': {} }, credsStore: 'store' })
  assert.equal(await passwordOf(), 'from-store')
  await write(0, { auths, credsStore: 'store' })
  assert.equal(await passwordOf(), 'from-file')
  await write(0, { auths, credsStore: 'store', credHelpers: { 'quay.io': 'own' } })
  assert.equal(await passwordOf(), 'from-own')
})

test('a helper that has nothing means anonymous', async (t) => {
  const { store, addHelper, logged } = await setUp(t, { credsStore: 'empty' })
  await addHelper('empty', 'echo "credentials not found in native keychain"; exit 1')
  assert.deepEqual(await store.find(fedora), {})
  assert.deepEqual(logged, [])
})

for (const [what, script, says] of [
  [
    'fails',
    'echo "my secret is 1234"; exit 3',
    /docker-credential-bad get failed for quay\.io \(status 3\)$/,
  ],
  ['hangs', 'sleep 60', /docker-credential-bad get gave no answer in 0\.3 s$/],
  ['hangs in a child that holds the pipe', 'sleep 60 & wait', /gave no answer in 0\.3 s$/],
  ['babbles', 'echo "1234 is no JSON"', /docker-credential-bad get: no credentials in its answer$/],
  [
    'never ends',
    'while :; do echo 1234567890123456789012345678901234567890; done',
    /too long|gave no answer/,
  ],
] as const) {
  test(`a helper that ${what} is a problem, in time and without what it printed`, async (t) => {
    const { store, addHelper } = await setUp(t, { credHelpers: { 'quay.io': 'bad' } })
    await addHelper('bad', script)
    const started = performance.now()
    const { credential, problem } = await store.find(fedora)
    assert.equal(credential, undefined)
    assert.match(problem ?? '', says)
    assert.ok(!(problem ?? '').includes('1234'))
    assert.ok(performance.now() - started < 30_000)
  })
}

test('a helper that is not there, or whose name is a path, is a problem', async (t) => {
  const { store, write } = await setUp(t, { credsStore: 'nowhere-to-be-found' })
  assert.match(
    (await store.find(fedora)).problem ?? '',
    /docker-credential-nowhere-to-be-found is not installed/,
  )
  await write(0, { credsStore: '../../bin/sh' })
  assert.match((await store.find(fedora)).problem ?? '', /is no name of a helper/)
})
