import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setUp } from '../../support/fake-registry-client.js'

const hour = 3_600_000

test('a token costs one refusal and one request for the first repository', async (t) => {
  const { registry, client, reference, repository } = await setUp(t, { auth: {} })
  const image = registry.addImage('a', '1', { layers: [] })
  registry.addImage('b', '1', { layers: [] })
  const manifest = await client.fetchManifest(reference('a:1'))
  await client.fetchDocument(repository('a'), manifest.config)
  await client.resolveTag(reference('a:1'))
  assert.deepEqual(registry.trace, [
    'GET manifest 401',
    'GET token 200',
    'GET manifest 200',
    'GET blob 200',
    'HEAD manifest 200',
  ])
  assert.equal(client.counters.tokenRequests, 1)
  assert.equal(manifest.digest, image.digest)

  registry.forgetRequests()
  await client.fetchManifest(reference('b:1'))
  assert.deepEqual(registry.trace, ['GET token 200', 'GET manifest 200'])
})

for (const auth of [
  { field: 'access_token', expiresIn: 'missing' },
  { challenge: 'missing' },
  { challenge: 'without-scope' },
  { challenge: 'several' },
] as const) {
  test(`a token is had with ${JSON.stringify(auth)}`, async (t) => {
    const { registry, client, reference } = await setUp(t, { auth })
    registry.addImage('a/b', '1', { layers: [] })
    await client.fetchManifest(reference('a/b:1'))
    assert.equal(registry.requests.filter(({ kind }) => kind === 'token').length, 1)
    assert.equal(registry.requests.length, 'challenge' in auth && auth.challenge === 'missing' ? 4 : 3)
  })
}

for (const refusal of [401, 403, 400] as const) {
  test(`a token that is refused with ${String(refusal)} is replaced once`, async (t) => {
    const { registry, client, reference } = await setUp(t, { auth: { refusal } })
    registry.addImage('a', '1', { layers: [] })
    await client.fetchManifest(reference('a:1'))
    registry.forgetRequests()
    registry.tokens.expireAll()
    await client.resolveTag(reference('a:1'))
    assert.deepEqual(registry.trace, [
      `HEAD manifest ${String(refusal)}`,
      'GET token 200',
      'HEAD manifest 200',
    ])
  })
}

test('one new token is enough for all that were refused at the same time', async (t) => {
  const { registry, client, repository } = await setUp(t, { auth: {}, faults: { latencyMs: 2 } })
  const blob = client.openBlob(repository('a'), {
    mediaType: 'x',
    digest: registry.addBlob(Buffer.alloc(1000, 1)),
    size: 1000,
    annotations: {},
  })
  await blob.read(0, 10)
  registry.tokens.expireAll()
  registry.forgetRequests()
  await Promise.all(Array.from({ length: 6 }, async (_, index) => blob.read(index * 100, 100)))
  assert.equal(registry.requests.filter(({ kind }) => kind === 'token').length, 1)
  assert.equal(registry.requests.filter(({ status }) => status === 206).length, 6)
})

test('who is denied with a new token too gets the refusal', async (t) => {
  const { registry, client, reference } = await setUp(t, { auth: { denied: true, refusal: 403 } })
  registry.addImage('a', '1', { layers: [] })
  await assert.rejects(client.fetchManifest(reference('a:1')), {
    code: 'DENIED',
    message: /403 DENIED Your authorization token has expired\. Reauthenticate and try again\.$/,
  })
  assert.deepEqual(registry.trace, ['GET manifest 401', 'GET token 200', 'GET manifest 403'])
})

test('a token server that refuses is the error', async (t) => {
  const { registry, client, reference } = await setUp(t, { auth: {} })
  registry.addImage('a', '1', { layers: [] })
  registry.faults = {
    failing: { kind: 'token', status: 403, times: 1, body: '{"errors":[{"code":"DENIED","message":"no"}]}' },
  }
  await assert.rejects(client.fetchManifest(reference('a:1')), {
    code: 'DENIED',
    message: `${registry.host}: GET token for repository:a:pull: 403 DENIED no`,
  })
})

test('a token server that is overloaded is asked again', async (t) => {
  const { registry, client, reference } = await setUp(t, { auth: {} })
  registry.addImage('a', '1', { layers: [] })
  registry.faults = { failing: { kind: 'token', status: 503, times: 2 } }
  await client.fetchManifest(reference('a:1'))
  assert.deepEqual(registry.trace, [
    'GET manifest 401',
    'GET token 503',
    'GET token 503',
    'GET token 200',
    'GET manifest 200',
  ])
})

test('a realm in plain http elsewhere is never asked', async (t) => {
  const { registry, client, reference } = await setUp(t, { auth: { realm: 'http://token.example/token' } })
  registry.addImage('a', '1', { layers: [] })
  await assert.rejects(client.fetchManifest(reference('a:1')), {
    code: 'PROTOCOL',
    message: /token\.example is not https/,
  })
})

test('a catalog that needs a token is listed with one', async (t) => {
  const { registry, client, repository } = await setUp(t, { auth: { ttlMs: hour } })
  registry.addImage('a', '1', { layers: [] })
  assert.deepEqual(await client.listRepositories(registry.host), ['a'])
  assert.deepEqual(await client.listTags(repository('a')), ['1'])
})

for (const auth of [
  { realm: 'http://token.example/token' },
  { users: new Map<string, string>() },
  { denied: true },
  { scheme: 'basic' as const, users: new Map<string, string>() },
]) {
  const what = Object.keys(auth).join(' and ')
  test(`refusals in any number use up no connection (${what})`, async (t) => {
    const { registry, client, reference } = await setUp(t, { auth }, { timeouts: { documentMs: 20_000 } })
    registry.addImage('a', '1', { layers: [] })
    // More than there are connections to a host.
    for (let i = 0; i < 20; i++)
      await assert.rejects(client.fetchManifest(reference('a:1')), (error: Error & { code?: string }) =>
        ['UNAUTHORIZED', 'PROTOCOL'].includes(error.code ?? ''),
      )
  })
}

test('refusals on all connections at once leave one for the token server behind them', async (t) => {
  const { registry, client, reference } = await setUp(t, { auth: {}, faults: { latencyMs: 20 } })
  const names = Array.from({ length: 30 }, (_, i) => `repository${String(i)}`)
  for (const name of names) registry.addImage(name, '1', { layers: [] })
  const fetchAll = async (): Promise<unknown> =>
    Promise.all(names.map(async (name) => client.resolveTag(reference(`${name}:1`))))
  const getAll = async (): Promise<unknown> =>
    Promise.all(names.map(async (name) => client.fetchManifest(reference(`${name}:1`))))
  await getAll()
  registry.tokens.expireAll()
  await fetchAll()
})
