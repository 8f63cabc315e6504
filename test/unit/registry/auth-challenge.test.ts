import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseChallenges } from '../../../src/registry/auth-challenge.js'
import { parseToken, tokenUrl } from '../../../src/registry/bearer-token.js'

function parsed(...headers: string[]): unknown {
  return parseChallenges(headers).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
}

test("Docker Hub's challenge keeps the comma in its scope", () => {
  assert.deepEqual(
    parsed(
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
    ),
    [
      [
        'bearer',
        {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:a/b:pull,push',
        },
      ],
    ],
  )
})

test('several challenges in one header and in several headers are told apart', () => {
  assert.deepEqual(
    parsed('Negotiate, Basic realm="x, y", BEARER realm = "r" , service=s', 'Digest nonce="n"'),
    [
      ['negotiate', {}],
      ['basic', { realm: 'x, y' }],
      ['bearer', { realm: 'r', service: 's' }],
      ['digest', { nonce: 'n' }],
    ],
  )
  assert.deepEqual(parsed('Negotiate YWJj==, Bearer realm="r"'), [
    ['negotiate', {}],
    ['bearer', { realm: 'r' }],
  ])
})

test('escapes, empty elements and unfinished quotes are survived', () => {
  assert.deepEqual(parsed('Bearer realm="a\\"b\\\\c"'), [['bearer', { realm: 'a"b\\c' }]])
  assert.deepEqual(parsed(', ,Bearer realm="r",, scope=x,'), [['bearer', { realm: 'r', scope: 'x' }]])
  assert.deepEqual(parsed('Bearer realm="r'), [['bearer', { realm: 'r' }]])
  assert.deepEqual(parsed('', '""', '=,='), [])
})

test('no header makes the parser throw or hang', () => {
  const text = fc.array(fc.constantFrom('Bearer', ' ', ',', '=', '"', '\\', 'realm', 'x', '==', '\t', 'é'), {
    maxLength: 30,
  })
  fc.assert(
    fc.property(text, (parts) => {
      parseChallenges([parts.join('')])
    }),
    { numRuns: 1000 },
  )
})

const anywhere = (): boolean => true
const nowhere = (): boolean => false
const challenge = (header: string) => {
  const [first] = parseChallenges([header])
  assert.ok(first !== undefined)
  return first
}

test('a token is asked for with service and scope, the realm keeping its query', () => {
  const url = tokenUrl(
    challenge('Bearer realm="https://a.example/t?x=1",service="s p"'),
    'repository:a:pull',
    nowhere,
    'w',
  )
  assert.equal(url.href, 'https://a.example/t?x=1&service=s+p&scope=repository%3Aa%3Apull')
})

test('the scope that the challenge names is asked for', () => {
  const url = tokenUrl(challenge('Bearer realm="https://a.example/t",scope="one two"'), 'ours', nowhere, 'w')
  assert.deepEqual(url.searchParams.getAll('scope'), ['one', 'two'])
})

test('a realm that is no URL, or plain http where that is not allowed, is refused', () => {
  for (const realm of ['', 'token', 'http://a.example/t', 'file:///etc/passwd', 'ftp://a.example/']) {
    assert.throws(
      () => tokenUrl(challenge(`Bearer realm="${realm}"`), 's', nowhere, 'w'),
      { code: 'PROTOCOL' },
      realm,
    )
  }
  assert.equal(tokenUrl(challenge('Bearer realm="http://a.example/t"'), 's', anywhere, 'w').host, 'a.example')
  assert.throws(() => tokenUrl(challenge('Bearer realm="file:///x"'), 's', anywhere, 'w'), {
    code: 'PROTOCOL',
  })
})

test('either field may hold the token, and a missing or senseless lifetime is a minute', () => {
  const parse = (document: unknown): unknown => parseToken(Buffer.from(JSON.stringify(document)), 'w')
  assert.deepEqual(parse({ token: 'a', expires_in: 300 }), { value: 'a', lifetimeMs: 300_000 })
  assert.deepEqual(parse({ access_token: 'b' }), { value: 'b', lifetimeMs: 60_000 })
  assert.deepEqual(parse({ token: '', access_token: 'c', expires_in: 0 }), { value: 'c', lifetimeMs: 60_000 })
  assert.deepEqual(parse({ token: 'd', expires_in: '300' }), { value: 'd', lifetimeMs: 60_000 })
})

test('an answer without a fit token is refused', () => {
  for (const document of [
    {},
    { token: 5 },
    { token: 'a b' },
    { token: 'a\r\nx: y' },
    { token: 'x'.repeat(20_000) },
    [],
  ]) {
    assert.throws(() => parseToken(Buffer.from(JSON.stringify(document)), 'w'), { code: 'PROTOCOL' })
  }
})
