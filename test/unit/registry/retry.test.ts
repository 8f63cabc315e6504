import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RedirectTransport } from '../../../src/registry/decorators/redirect.js'
import { RetryTransport } from '../../../src/registry/decorators/retry.js'
import { InsecureHosts } from '../../../src/registry/insecure-hosts.js'
import { isTransient, networkError } from '../../../src/registry/network-error.js'
import { budgetOf, type RetryBudget } from '../../../src/registry/retry-budget.js'
import { parseRetryAfter } from '../../../src/registry/retry-after.js'
import type { HttpRequest, HttpResponse, Transport } from '../../../src/registry/transport.js'
import { silentLogger } from '../../../src/util/log.js'
import { recordingLogger } from '../../support/fake-registry-client.js'

const request: HttpRequest = {
  method: 'GET',
  url: new URL('https://r.example/v2/a/blobs/x'),
  headers: { range: 'bytes=0-1' },
  kind: 'blob',
  what: 'test',
  authorization: { host: 'r.example', scope: 's' },
  signal: new AbortController().signal,
}

/** Answers in turn; an Error is thrown. */
class Script implements Transport {
  readonly sent: HttpRequest[] = []
  readonly #answers: readonly (Error | [number, Record<string, string>?])[]

  constructor(...answers: readonly (Error | [number, Record<string, string>?])[]) {
    this.#answers = answers
  }

  async send(sent: HttpRequest): Promise<HttpResponse> {
    const answer = this.#answers[this.sent.length]
    this.sent.push(sent)
    if (answer === undefined) throw new Error('the script is over')
    if (answer instanceof Error) throw answer
    const [status, headers = {}] = answer
    const body = { consume: async () => Promise.resolve('ended' as const), discard: () => undefined }
    return Promise.resolve({ status, headers, url: sent.url, redirected: false, body })
  }
}

function failure(code: string): Error {
  return networkError('test', request.url, Object.assign(new Error(code), { code }))
}

async function retried(script: Script, options: Partial<RetryBudget> = {}): Promise<HttpResponse> {
  return retrying(script, options).send(request)
}

function retrying(script: Script, options: Partial<RetryBudget> = {}, log = silentLogger): RetryTransport {
  const budget: RetryBudget = {
    attempts: 4,
    totalMs: 1000,
    unreachableMs: 1000,
    longestWaitMs: 1000,
    baseMs: 1,
    maxMs: 2,
    ...options,
  }
  return new RetryTransport(script, { budgetOf: () => budget, log, onRetry: () => undefined })
}

test('an outage that was survived is told of once', async () => {
  const lines: string[] = []
  const script = new Script([503], failure('ECONNREFUSED'), [200], [503], [200])
  const transport = retrying(script, {}, recordingLogger(lines))
  for (let i = 0; i < 2; i++) assert.equal((await transport.send(request)).status, 200)
  const told = lines.filter((line) => line.includes('the registry answers again'))
  assert.equal(told.length, 1, lines.join('\n'))
  assert.match(told[0] ?? '', /refuses connections/)
})

test('Retry-After may be seconds or a date, and is bounded', () => {
  const now = Date.parse('2024-01-01T00:00:00Z')
  assert.equal(parseRetryAfter('120', now), 120_000)
  assert.equal(parseRetryAfter('Mon, 01 Jan 2024 00:01:00 GMT', now), 60_000)
  assert.equal(parseRetryAfter('Mon, 01 Jan 2020 00:01:00 GMT', now), 0)
  assert.equal(parseRetryAfter('999999999999', now), 86_400_000)
  assert.equal(parseRetryAfter('soon', now), undefined)
  assert.equal(parseRetryAfter(undefined, now), undefined)
})

test('connection failures are tried again; a name that does not exist and bad TLS are not', async () => {
  for (const code of [
    'ECONNREFUSED',
    'ECONNRESET',
    'UND_ERR_SOCKET',
    'EAI_AGAIN',
    'UND_ERR_CONNECT_TIMEOUT',
  ]) {
    const script = new Script(failure(code), failure(code), [206])
    assert.equal((await retried(script)).status, 206, code)
  }
  for (const code of [
    'ENOTFOUND',
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'HPE_INVALID_CONSTANT',
  ]) {
    const script = new Script(failure(code))
    await assert.rejects(retried(script))
    assert.equal(script.sent.length, 1, code)
  }
})

test('what went wrong on the network is said plainly', () => {
  const said = (code: string): string => failure(code).message
  assert.equal(said('ENOTFOUND'), 'test: there is no host r.example (DNS)')
  assert.equal(said('EAI_AGAIN'), 'test: the name r.example cannot be looked up now (DNS)')
  assert.equal(said('ECONNREFUSED'), 'test: r.example refuses connections')
  assert.match(said('CERT_HAS_EXPIRED'), /^test: the certificate of r\.example has expired/)
  const both = new AggregateError([Object.assign(new Error('v6'), { code: 'ECONNREFUSED' })], 'all failed')
  assert.equal(networkError('test', request.url, both).message, 'test: r.example refuses connections')
  assert.ok(isTransient(networkError('test', request.url, both)))
})

test('the budget of attempts and of time is kept', async () => {
  const attempts = new Script([503], [503], [503])
  assert.equal((await retried(attempts, { attempts: 3 })).status, 503)
  const time = new Script([503, { 'retry-after': '2' }])
  assert.equal((await retried(time)).status, 503)
  assert.equal(time.sent.length, 1)
})

test('a host where nobody listens is given up soon, and for a moment asked once only', async () => {
  const refused = failure('ECONNREFUSED')
  const script = new Script(...Array.from({ length: 50 }, () => refused))
  const transport = retrying(script, { unreachableMs: 300, baseMs: 100, maxMs: 100, attempts: 50 })
  const name = { ...request, kind: 'manifest' } as const
  await assert.rejects(transport.send(name), { code: 'UNAVAILABLE' })
  const { length } = script.sent
  assert.ok(length >= 2 && length <= 7, String(length))
  await assert.rejects(transport.send(name), { code: 'UNAVAILABLE' })
  assert.equal(script.sent.length, length + 1)
})

test('who reads an open file keeps the whole budget, whatever names have failed before', async () => {
  const script = new Script([503], [503], [503], [206])
  const transport = retrying(script, { attempts: 2 })
  assert.equal((await transport.send({ ...request, kind: 'manifest' })).status, 503)
  assert.equal((await transport.send(request)).status, 206)
})

test('a host that is away heals with the first request that gets through', async () => {
  const refused = failure('ECONNREFUSED')
  const script = new Script(refused, [206], refused, [206])
  const transport = retrying(script, { unreachableMs: 0 })
  await assert.rejects(transport.send(request), { code: 'UNAVAILABLE' })
  assert.equal((await transport.send(request)).status, 206)
})

for (const [form, retryAfter] of [
  ['seconds', () => '1'],
  ['a date', () => new Date(Date.now() + 2_500).toUTCString()],
] as const) {
  test(`a Retry-After of ${form} holds for all requests of its kind`, async () => {
    const script = new Script([429, { 'retry-after': retryAfter() }], [206], [206], [206])
    const transport = retrying(script, { totalMs: 4_000, longestWaitMs: 4_000 })
    const started = performance.now()
    let isAnswered = false as boolean
    const first = transport.send(request).then(() => {
      isAnswered = true
    })
    await new Promise(setImmediate)
    await transport.send({ ...request, kind: 'manifest' })
    assert.ok(!isAnswered)
    await Promise.all([first, transport.send(request)])
    assert.ok(performance.now() - started > 900)
    assert.equal(script.sent.length, 4)
  })
}

test('who cannot wait for as long as the host wants is told so without a request', async () => {
  const script = new Script([429, { 'retry-after': '30' }], [206])
  const transport = retrying(script)
  assert.equal((await transport.send(request)).status, 429)
  await assert.rejects(transport.send(request), {
    code: 'RATE_LIMITED',
    message: 'test: r.example wants no requests for another 30 s (429)',
  })
  assert.equal(script.sent.length, 1)
})

test('403, 404 and 501 are never asked for again', async () => {
  for (const status of [400, 401, 403, 404, 410, 416, 501]) {
    const script = new Script([status])
    assert.equal((await retried(script)).status, status)
    assert.equal(script.sent.length, 1)
  }
})

test('names are answered promptly, reads outlive a restart of the registry, a first pass is patient', () => {
  const name = budgetOf({ kind: 'manifest' })
  const read = budgetOf({ kind: 'blob' })
  const pass = budgetOf({ kind: 'blob', isPatient: true })
  assert.ok(name.unreachableMs <= 2_000 && read.unreachableMs >= 10_000 && pass.unreachableMs >= 60_000)
  assert.ok(name.longestWaitMs < read.longestWaitMs && read.longestWaitMs < pass.longestWaitMs)
  assert.equal(budgetOf({ kind: 'token', isPatient: true }), pass)
})

async function redirected(script: Script, isInsecure = false): Promise<HttpResponse> {
  return new RedirectTransport(script, () => isInsecure).send(request)
}

test('authorization stays with its origin and Range goes along', async () => {
  const script = new Script(
    [307, { location: '/other' }],
    [302, { location: 'https://r.example:8443/x' }],
    [308, { location: 'https://r.example/y' }],
    [206],
  )
  const response = await redirected(script)
  assert.equal(response.redirected, true)
  assert.deepEqual(
    script.sent.map(({ authorization }) => authorization !== undefined),
    [true, true, false, false],
  )
  assert.ok(script.sent.every(({ headers }) => headers['range'] === 'bytes=0-1'))
})

test('a redirect from https to http is refused unless the host is insecure', async () => {
  const target = { location: 'http://cdn.example/x?secret=1' }
  await assert.rejects(redirected(new Script([307, target])), {
    code: 'PROTOCOL',
    message: 'test: a redirect from https to plain http://cdn.example/x?…',
  })
  assert.equal((await redirected(new Script([307, target], [206]), true)).status, 206)
})

test('a redirect to nowhere is refused', async () => {
  for (const headers of [
    {},
    { location: 'https://' },
    { location: 'file:///etc/passwd' },
    { location: 'data:,x' },
  ]) {
    await assert.rejects(redirected(new Script([307, headers])), {
      code: 'PROTOCOL',
    })
  }
})

test('loopback speaks plain http, all others https', () => {
  const hosts = new InsecureHosts(['Registry.local:5000', 'plain.example:443', 'localhost:7000'])
  for (const host of ['127.0.0.1', '127.1.2.3:80', 'localhost', 'localhost:5000', '[::1]:5000']) {
    assert.equal(hosts.schemeOf(host), 'http', host)
  }
  for (const host of ['quay.io', '128.0.0.1', 'localhost.example', '127.0.0.1.example', 'localhost:7000']) {
    assert.equal(hosts.schemeOf(host), 'https', host)
  }
  assert.ok(hosts.isConfigured('registry.local:5000') && hosts.isConfigured('plain.example'))
  assert.ok(!hosts.isConfigured('registry.local'))
  assert.ok(hosts.allowsPlainHttp('127.0.0.1:1', new URL('http://localhost:2')))
  assert.ok(!hosts.allowsPlainHttp('127.0.0.1:1', new URL('https://quay.io')))
})
