import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AuthTransport } from '../../../src/registry/decorators/auth.js'
import { Lifetime } from '../../../src/registry/lifetime.js'
import type { HttpRequest, HttpResponse, Transport } from '../../../src/registry/transport.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'

/** Gives tokens t1, t2, ... of 100 s, and says which one each request came with. */
class TokenGiver implements Transport {
  readonly seen: string[] = []
  tokens = 0
  tries = 0
  failing = false
  /** These have expired, whatever their life was said to be. */
  readonly expired = new Set<string>()

  async send(request: HttpRequest): Promise<HttpResponse> {
    await Promise.resolve()
    if (request.kind === 'token') {
      this.tries++
      if (this.failing) throw new RegistryFsError('UNAVAILABLE', 'no token now')
      return answer(request, 200, JSON.stringify({ token: `t${String(++this.tokens)}`, expires_in: 100 }))
    }
    const authorization = request.headers['authorization'] ?? 'none'
    this.seen.push(authorization)
    if (authorization !== 'none' && !this.expired.has(authorization)) return answer(request, 200, '')
    return answer(request, 401, '', { 'www-authenticate': 'Bearer realm="https://token.example/"' })
  }
}

function answer(
  request: HttpRequest,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): HttpResponse {
  return {
    status,
    headers,
    url: request.url,
    redirected: false,
    body: {
      consume: async (sink) => {
        sink(Buffer.from(text))
        return Promise.resolve('ended')
      },
      discard: () => undefined,
    },
  }
}

function setUp(random = 0.5) {
  const giver = new TokenGiver()
  const clock = { ms: 0 }
  const auth = new AuthTransport(giver, {
    lifetime: new Lifetime(),
    log: silentLogger,
    deadlineMs: 1000,
    allowsPlainHttp: () => false,
    findCredential: async () => Promise.resolve({}),
    now: () => clock.ms,
    random: () => random,
  })
  const send = async (
    url = 'https://r.example/v2/a/manifests/1',
    scoped = true,
    kind: HttpRequest['kind'] = 'manifest',
  ): Promise<number> => {
    const response = await auth.send({
      method: 'GET',
      url: new URL(url),
      headers: {},
      kind,
      what: 'test',
      authorization: scoped ? { host: 'r.example', scope: 'repository:a:pull' } : undefined,
      signal: new AbortController().signal,
    })
    return response.status
  }
  return { giver, clock, send }
}

/** Lets background work on promises come to its end. */
const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a token is used until 80 % of its life, then renewed in the background', async () => {
  const { giver, clock, send } = setUp()
  await send()
  clock.ms = 79_000
  await send()
  assert.equal(giver.tokens, 1)
  clock.ms = 81_000
  await send()
  await settled()
  await send()
  assert.equal(giver.tokens, 2)
  assert.deepEqual(giver.seen, ['none', 'Bearer t1', 'Bearer t1', 'Bearer t1', 'Bearer t2'])
})

for (const [random, renewedAt] of [
  [0, 75_000],
  [0.5, 80_000],
  [1 - Number.EPSILON, 85_000],
] as const) {
  test(`with ${random.toFixed(1)} thrown a token of 100 s is renewed at ${String(renewedAt / 1000)} s, not before`, async () => {
    const { giver, clock, send } = setUp(random)
    await send()
    clock.ms = renewedAt - 1
    await send()
    await settled()
    assert.equal(giver.tokens, 1)
    clock.ms = renewedAt + 1
    await send()
    await settled()
    assert.equal(giver.tokens, 2)
    // Of the new one, by when it was asked for.
    clock.ms = 2 * renewedAt
    await send()
    await settled()
    assert.equal(giver.tokens, 2)
    clock.ms = 2 * renewedAt + 2
    await send()
    await settled()
    assert.equal(giver.tokens, 3)
  })
}

test('a renewal that fails is tried again after five seconds, not with each request', async () => {
  const { giver, clock, send } = setUp()
  await send()
  giver.failing = true
  const triesAt = async (ms: number): Promise<number> => {
    const before = giver.tries
    clock.ms = ms
    for (let i = 0; i < 10; i++) {
      assert.equal(await send(), 200)
      await settled()
    }
    return giver.tries - before
  }
  assert.equal(await triesAt(81_000), 1)
  assert.equal(await triesAt(85_999), 0)
  assert.equal(await triesAt(86_001), 1)
  assert.equal(await triesAt(91_000), 0)
  giver.failing = false
  assert.equal(await triesAt(91_002), 1)
  assert.equal(giver.seen.at(-1), 'Bearer t2')
})

test('a renewal that fails leaves the old token in use until it expires', async () => {
  const { giver, clock, send } = setUp()
  await send()
  giver.failing = true
  clock.ms = 90_000
  await send()
  await settled()
  await send()
  assert.deepEqual(giver.seen.slice(2), ['Bearer t1', 'Bearer t1'])
  clock.ms = 101_000
  await assert.rejects(send(), { code: 'UNAVAILABLE' })
  giver.failing = false
  await send()
  assert.equal(giver.seen.at(-1), 'Bearer t2')
})

test('an expired token is replaced before the request, once for all who wait', async () => {
  const { giver, clock, send } = setUp()
  await send()
  clock.ms = 200_000
  await Promise.all([send(), send(), send()])
  assert.equal(giver.tokens, 2)
  assert.deepEqual(giver.seen.slice(2), ['Bearer t2', 'Bearer t2', 'Bearer t2'])
})

test('a token goes to no other host, and nowhere unasked', async () => {
  const { giver, send } = setUp()
  await send()
  await send('https://cdn.example/data', false)
  await send('https://r.example/elsewhere', false)
  assert.deepEqual(giver.seen.slice(2), ['none', 'none'])
  await send('https://r.example:8443/v2/a/manifests/1')
  assert.deepEqual(giver.seen.slice(4), ['none', 'Bearer t2'])
})

test('a read of a file lives through a new token that has expired as well, and no more than that', async () => {
  const { giver, send } = setUp()
  await send()
  giver.expired.add('Bearer t1').add('Bearer t2')
  const blob = 'https://r.example/v2/a/blobs/sha256:0'
  assert.equal(await send(blob, true, 'blob'), 200)
  assert.deepEqual(giver.seen.slice(2), ['Bearer t1', 'Bearer t2', 'Bearer t3'])
  giver.expired.add('Bearer t3').add('Bearer t4').add('Bearer t5')
  assert.equal(await send(blob, true, 'blob'), 401)
  assert.equal(giver.tokens, 5)
})
