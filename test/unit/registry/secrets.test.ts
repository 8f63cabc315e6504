import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { test } from 'node:test'
import { redactText, redactUrl } from '../../../src/registry/redact.js'
import { setUp } from '../../support/fake-registry-client.js'

test('no token and no signed query is in any log line or error', async (t) => {
  const faults = { redirect: 'cdn' } as const
  const { registry, client, logged, reference, repository } = await setUp(t, { auth: {}, faults })
  registry.addImage('a', '1', { layers: [] })
  const bytes = Buffer.alloc(1000, 7)
  const blob = client.openBlob(repository('a'), {
    mediaType: 'x',
    digest: registry.addBlob(bytes),
    size: 1000,
    annotations: {},
  })
  const texts: string[] = []
  const failing = async (work: Promise<unknown>): Promise<void> => {
    await work.then(
      () => assert.fail('it should fail'),
      (error: unknown) => {
        assert.ok(error instanceof Error)
        assert.ok(!error.message.includes('\n'))
        texts.push(inspect(error, { depth: 10, showHidden: true }))
      },
    )
  }

  await client.fetchManifest(reference('a:1'))
  await blob.read(0, 10)
  const token = registry.tokens.values[0] ?? ''
  const echo = `no: Authorization: Bearer ${token} for https://cdn.example/x?X-Amz-Signature=abc\nsecond line`
  const body = JSON.stringify({ errors: [{ code: 'DENIED', message: echo }] })
  registry.faults = { failing: { kind: 'any', status: 403, times: 9, body } }
  await failing(client.resolveTag(reference('a:1')))
  registry.faults = { failing: { kind: 'cdn', status: 500, times: 9, body } }
  await failing(blob.read(0, 10))
  registry.faults = { redirect: 'cdn', expiredUrlStatus: 400, urlTtlMs: -1 }
  await failing(blob.read(0, 10))
  registry.faults = { redirect: 'cdn', ranges: 'shifted' }
  await failing(blob.read(0, 10))
  registry.faults = { redirect: 'cdn', resetAfter: { bytes: 0, times: Infinity } }
  await failing(blob.read(0, 10))
  await registry.stop()
  await failing(blob.read(0, 10))
  await failing(client.fetchManifest(reference('a:1')))

  texts.push(...logged)
  assert.ok(texts.length > 20)
  assert.ok(logged.some((line) => line.includes('/data/sha256:')))
  for (const text of texts) {
    for (const secret of [...registry.tokens.values, 'Signature']) {
      assert.ok(!text.includes(secret), text)
    }
  }
})

test('a URL loses its query, its fragment and its user', () => {
  assert.equal(redactUrl(new URL('https://u:p@h.example:8443/a/b?x=1#y')), 'https://h.example:8443/a/b?…')
  assert.equal(redactUrl(new URL('https://h.example/a')), 'https://h.example/a')
})

test('foreign text becomes one short printable line', () => {
  assert.equal(redactText('a\r\n\tb\u001b[31m c'), 'a b [31m c')
  assert.equal(
    redactText('see https://u:p@h.example/x?sig=1, or Basic dTpw now'),
    'see https://h.example/x?… or Basic <redacted> now',
  )
  assert.equal(redactText('x'.repeat(1000)).length, 301)
})
