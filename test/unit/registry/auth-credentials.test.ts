import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { test, type TestContext } from 'node:test'
import { CredentialStore } from '../../../src/registry/credentials/credential-store.js'
import type { FakeAuth, Faults } from '../../support/fake-registry-faults.js'
import { recordingLogger, setUp, type Setup } from '../../support/fake-registry-client.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const password = 'pass:word-1234'
const users = new Map([['robot', password]])

interface LoggedIn extends Setup {
  readonly logIn: (entry: object | undefined) => Promise<void>
}

async function setUpLogin(t: TestContext, auth: FakeAuth, faults: Faults = {}): Promise<LoggedIn> {
  const path = join(await temporaryDirectory(t), 'auth.json')
  const credentials = new CredentialStore({
    files: [{ path, isLegacy: false, isRequired: false }],
    log: recordingLogger([]),
  })
  const setup = await setUp(t, { auth, faults }, { credentials })
  setup.registry.addImage('a', '1', { layers: [] })
  const logIn = async (entry: object | undefined): Promise<void> =>
    writeFile(path, JSON.stringify({ auths: entry === undefined ? {} : { [setup.registry.host]: entry } }))
  return { ...setup, logIn }
}

const entryOf = (user: string, secret: string): object => ({
  auth: Buffer.from(`${user}:${secret}`).toString('base64'),
})

for (const scheme of ['bearer', 'basic'] as const) {
  test(`with ${scheme} a user's password opens what nobody may see, and nobody else gets it`, async (t) => {
    const { registry, client, logged, logIn, reference } = await setUpLogin(
      t,
      { users, scheme },
      { redirect: 'cdn' },
    )
    await assert.rejects(client.fetchManifest(reference('a:1')), { code: 'UNAUTHORIZED' })
    assert.ok(registry.requests.every(({ authorized }) => !authorized))
    await logIn(entryOf('robot', 'wrong'))
    await assert.rejects(client.fetchManifest(reference('a:1')), (error: Error) => {
      assert.equal((error as { code?: unknown }).code, 'UNAUTHORIZED')
      assert.ok(!inspect(error, { depth: 10 }).includes('wrong'))
      return true
    })
    await logIn(entryOf('robot', password))
    const bytes = Buffer.alloc(100, 1)
    await client.fetchManifest(reference('a:1'))
    const digest = registry.addBlob(bytes)
    const blob = client.openBlob(reference('a:1'), { mediaType: 'x', digest, size: 100, annotations: {} })
    assert.ok((await blob.read(0, 100)).equals(bytes))
    assert.ok(registry.requests.every(({ kind, authorized }) => kind !== 'cdn' || !authorized))
    const encoded = Buffer.from(`robot:${password}`).toString('base64')
    for (const line of logged) assert.ok(!line.includes(password) && !line.includes(encoded), line)
  })
}

test('a new login counts at the next refusal, without a remount', async (t) => {
  const changing = new Map(users)
  const { client, logIn, reference } = await setUpLogin(t, { users: changing, scheme: 'basic' })
  await logIn(entryOf('robot', password))
  await client.resolveTag(reference('a:1'))
  changing.set('robot', 'another')
  await assert.rejects(client.resolveTag(reference('a:1')), { code: 'UNAUTHORIZED' })
  await logIn(entryOf('robot', 'another'))
  assert.notEqual(await client.resolveTag(reference('a:1')), undefined)
})

test('a password of ECR that has expired, which is a 403, is had anew from its helper', async (t) => {
  const directory = await temporaryDirectory(t)
  const before = process.env['PATH']
  process.env['PATH'] = `${directory}:${before ?? ''}`
  t.after(() => {
    process.env['PATH'] = before
  })
  const renew = async (secret: string): Promise<void> => {
    const answer = JSON.stringify({ ServerURL: 'x', Username: 'AWS', Secret: secret })
    const program = join(directory, 'docker-credential-cloud')
    await writeFile(program, `#!/bin/sh\necho '${answer}'\n`)
    await chmod(program, 0o755)
  }
  const path = join(directory, 'config.json')
  await writeFile(path, JSON.stringify({ credsStore: 'cloud' }))
  await renew('first')
  const log = recordingLogger([])
  const credentials = new CredentialStore({ files: [{ path, isLegacy: false, isRequired: true }], log })
  const changing = new Map([['AWS', 'first']])
  const auth = { users: changing, scheme: 'basic', refusal: 403 } as const
  const { registry, client, reference } = await setUp(t, { auth }, { credentials })
  registry.addImage('a', '1', { layers: [] })
  await client.resolveTag(reference('a:1'))
  changing.set('AWS', 'second')
  // Nothing else to say: the refusal, in ECR's words.
  await assert.rejects(client.fetchManifest(reference('a:1')), {
    code: 'DENIED',
    message: /token has expired/,
  })
  await renew('second')
  registry.forgetRequests()
  await client.resolveTag(reference('a:1'))
  assert.deepEqual(registry.trace.slice(-1), ['HEAD manifest 200'])
  changing.set('AWS', 'third')
  await renew('third')
  registry.forgetRequests()
  await client.resolveTag(reference('a:1'))
  assert.deepEqual(registry.trace, ['HEAD manifest 403', 'HEAD manifest 200'])
})

test('credentials that have not changed are not sent a second time after a refusal', async (t) => {
  const { registry, client, logIn, reference } = await setUpLogin(t, { users: new Map(), scheme: 'basic' })
  await logIn(entryOf('robot', password))
  await assert.rejects(client.resolveTag(reference('a:1')), { code: 'UNAUTHORIZED' })
  registry.forgetRequests()
  await assert.rejects(client.resolveTag(reference('a:1')), { code: 'UNAUTHORIZED' })
  assert.ok(registry.requests.length <= 2, registry.trace.join(', '))
})

test('an identity token is exchanged with a POST', async (t) => {
  const { registry, client, logIn, reference } = await setUpLogin(t, { identityToken: 'idt-1234', users })
  await logIn({ identitytoken: 'idt-1234' })
  await client.fetchManifest(reference('a:1'))
  assert.deepEqual(registry.trace, ['GET manifest 401', 'POST token 200', 'GET manifest 200'])
  assert.ok(registry.requests.every(({ query }) => !query.includes('idt')))
})

test('where there is no POST the identity token goes with a GET', async (t) => {
  const tokenUsers = new Map([['00000000', 'idt-1234']])
  const { registry, client, logIn, reference } = await setUpLogin(t, { postStatus: 404, users: tokenUsers })
  await logIn({ ...entryOf('00000000', ''), identitytoken: 'idt-1234' })
  await client.fetchManifest(reference('a:1'))
  assert.deepEqual(registry.trace.slice(1), ['POST token 404', 'GET token 200', 'GET manifest 200'])
})

test('a token that grants less than asked for is a refusal after one more try', async (t) => {
  const { registry, client, reference } = await setUpLogin(t, { grantsLess: true })
  await assert.rejects(client.fetchManifest(reference('a:1')), { code: 'UNAUTHORIZED' })
  assert.deepEqual(registry.trace, ['GET manifest 401', 'GET token 200', 'GET manifest 401'])
})

test('why there are no credentials is part of the refusal', async (t) => {
  const credentials = new CredentialStore({
    files: [{ path: '/proc/version', isLegacy: false, isRequired: false }],
    log: recordingLogger([]),
  })
  for (const auth of [{ users }, { users, scheme: 'basic' as const }, { denied: true }]) {
    const { registry, client, reference } = await setUp(t, { auth }, { credentials })
    registry.addImage('a', '1', { layers: [] })
    await assert.rejects(client.fetchManifest(reference('a:1')), {
      code: 'UNAUTHORIZED',
      message: /401.*\(credentials: \/proc\/version: not JSON\)$/,
    })
  }
})

test('credentials are not given to a token server in plain http', async (t) => {
  const { registry, client, logIn, reference } = await setUpLogin(t, {
    users,
    realm: 'http://token.example/token',
  })
  await logIn(entryOf('robot', password))
  await assert.rejects(client.fetchManifest(reference('a:1')), { code: 'PROTOCOL', message: /is not https/ })
  assert.ok(registry.requests.every(({ authorized }) => !authorized))
})
