import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../../src/util/digest.js'
import { hasCode } from '../../../src/util/errors.js'
import type { Faults } from '../../support/fake-registry-faults.js'
import { setUp } from '../../support/fake-registry-client.js'
import { sampleData } from '../../support/sample-data.js'

const blob = sampleData('text', 300_000)
const descriptor = { mediaType: 'x', digest: digestOf(blob), size: blob.length, annotations: {} }

test('a token server that reads the first scope only is asked for ours first', async (t) => {
  const { registry, client, reference } = await setUp(t, {
    auth: { challenge: 'many-scopes', firstScopeOnly: true },
  })
  registry.addImage('a', '1', { layers: [] })
  await client.fetchManifest(reference('a:1'))
  assert.deepEqual(registry.trace, ['GET manifest 401', 'GET token 200', 'GET manifest 200'])
})

test('Harbor, which asks for Basic once a token has expired, gets another token', async (t) => {
  const { registry, client, reference } = await setUp(t, { auth: { basicOnceExpired: true } })
  registry.addImage('a', '1', { layers: [] })
  await client.resolveTag(reference('a:1'))
  registry.tokens.expireAll()
  registry.forgetRequests()
  await client.resolveTag(reference('a:1'))
  assert.deepEqual(registry.trace, ['HEAD manifest 401', 'GET token 200', 'HEAD manifest 200'])
})

test('a registry at an IPv6 address is one as any other, with its token server and its storage', async (t) => {
  const faults = { redirect: 'cdn' } as const
  const { registry, client, reference, repository } = await setUp(t, { address: '::1', auth: {}, faults })
  assert.match(registry.host, /^\[::1\]:\d+$/)
  const { digest } = registry.addImage('a', '1', { layers: [] })
  registry.addBlob(blob)
  assert.equal((await client.fetchManifest(reference('a:1'))).digest, digest)
  assert.ok((await client.openBlob(repository('a'), descriptor).read(7, 70)).equals(blob.subarray(7, 77)))
  assert.ok(registry.requests.every(({ kind, authorized }) => kind !== 'cdn' || !authorized))
})

test('what a registry warns of is in the log, each text once, and never what a storage says', async (t) => {
  const { registry, client, logged, reference, repository } = await setUp(t, { faults: { redirect: 'cdn' } })
  registry.addImage('a', '1', { layers: [] })
  registry.addBlob(blob)
  const signed = 'https://cdn.example/x?X-Amz-Signature=abcdef'
  registry.faults.warning = `299 - "this \\"team\\" moves", 199 - "stale", 299 - "see ${signed}"`
  await client.fetchManifest(reference('a:1'))
  await client.resolveTag(reference('a:1'))
  assert.ok((await client.openBlob(repository('a'), descriptor).read(0, 10)).equals(blob.subarray(0, 10)))
  const warned = logged.filter((line) => line.includes('the registry warns'))
  assert.deepEqual(warned, [
    JSON.stringify([{ host: registry.host, warning: 'this "team" moves' }, 'the registry warns']),
    JSON.stringify([{ host: registry.host, warning: 'see https://cdn.example/x?…' }, 'the registry warns']),
  ])
  registry.faults.warning = `299 - "${'x'.repeat(5000)}"`
  await client.resolveTag(reference('a:1'))
  assert.equal(logged.filter((line) => line.includes('the registry warns')).length, 2)
})

test('nothing compressed is accepted, so nothing compressed comes', async (t) => {
  const { registry, client, repository } = await setUp(t, { faults: { gzipIfAccepted: true } })
  registry.addBlob(blob)
  const bytes = await client.openBlob(repository('a'), descriptor).read(1000, 100_000)
  assert.ok(bytes.equals(blob.subarray(1000, 101_000)))
  assert.deepEqual(registry.trace, ['GET blob 206'])
})

test('Accept-Ranges is no promise, and its lack is none of the contrary', async (t) => {
  const { registry, client, repository } = await setUp(t)
  registry.addBlob(blob)
  for (const acceptRanges of [true, false]) {
    for (const ranges of ['ignored', undefined] as const) {
      registry.faults = { acceptRanges, ...(ranges === undefined ? {} : { ranges }) }
      registry.forgetRequests()
      const bytes = await client.openBlob(repository('a'), descriptor).read(5, 100)
      assert.ok(bytes.equals(blob.subarray(5, 105)))
      assert.deepEqual(registry.trace, [`GET blob ${ranges === undefined ? '206' : '200'}`])
    }
  }
})

test('a server that answers one range with everything and then knows ranges is asked for ranges', async (t) => {
  const faults = { ranges: 'ignored', rangesTimes: 1 } as const
  const { registry, client, repository } = await setUp(t, { faults })
  registry.addBlob(blob)
  assert.ok((await client.openBlob(repository('a'), descriptor).read(9, 9)).equals(blob.subarray(9, 18)))
  assert.ok((await client.openBlob(repository('a'), descriptor).read(9, 9)).equals(blob.subarray(9, 18)))
  assert.deepEqual(registry.trace, ['GET blob 200', 'GET blob 206'])
  assert.equal(client.isWithoutRanges, false)
})

test('a registry without referrers says so, and one with them has the same images', async (t) => {
  const { registry, client, reference } = await setUp(t, { auth: {} })
  const { digest } = registry.addImage('a', '1', { layers: [] })
  const ask = async (): Promise<number> =>
    (await client.probe(reference('a:1'), `referrers/${digest}`, { anonymous: false })).status
  assert.equal(await ask(), 200)
  registry.faults = { noReferrers: true }
  assert.equal(await ask(), 404)
  await client.fetchManifest(reference('a:1'))
})

test('a listing is cut off at 10,000 names, and the log says so', async (t) => {
  const { registry, client, logged, repository } = await setUp(t)
  registry.addImage('a', '1', { layers: [] })
  for (let i = 0; i < 10_500; i++) registry.moveTag('a', `t${String(i)}`, digestOf(blob))
  assert.equal((await client.listTags(repository('a')))?.length, 10_000)
  assert.equal(logged.filter((line) => line.includes('the listing of tags is cut off')).length, 1)
})

const mistakes: readonly Faults[] = [
  { html: true },
  { corruptManifests: true },
  { manifestContentType: 'application/vnd.docker.distribution.manifest.list.v2+json' },
  { manifestContentType: 'application/vnd.example' },
  { headStatus: 403 },
  { headStatus: 405 },
  { failing: { kind: 'any', status: 403, times: Infinity } },
  { failing: { kind: 'any', status: 418, times: Infinity, body: 'x'.repeat(200_000) } },
  { failing: { kind: 'any', status: 500, times: Infinity } },
  { failing: { kind: 'any', status: 429, times: Infinity, retryAfter: '0' } },
  { failing: { kind: 'any', status: 401, times: Infinity } },
  { failing: { kind: 'token', status: 401, times: Infinity } },
  { redirect: 'loop' },
  { redirect: 'cdn', urlTtlMs: -1 },
  { redirect: 'https-elsewhere' },
  { contentEncoding: 'gzip' },
  { ranges: 'shifted' },
  { ranges: 'multipart' },
  { ranges: 'ignored' },
  { shortBy: { bytes: 1_000_000, times: Infinity } },
  { resetAfter: { bytes: 0, times: Infinity } },
  { missingBlobs: new Set([descriptor.digest]) },
  { noCatalog: true },
]

for (const [i, faults] of mistakes.entries()) {
  const what = JSON.stringify(faults).slice(0, 80)
  test(`no answer, however wrong, costs a connection for good (${String(i + 1)}: ${what})`, async (t) => {
    const { registry, client, reference, repository } = await setUp(
      t,
      { auth: {} },
      // One that is lost is missed soon.
      { socketsPerHost: 2, timeouts: { documentMs: 10_000, blobReadMs: 10_000 }, maxResumes: 1 },
    )
    registry.addImage('a', '1', { layers: [] })
    registry.addBlob(blob)
    const use = async (): Promise<readonly PromiseSettledResult<unknown>[]> =>
      Promise.allSettled([
        client.fetchManifest(reference('a:1')),
        client.resolveTag(reference('a:1')),
        client.fetchDocument(repository('a'), descriptor),
        client.openBlob(repository('a'), descriptor).read(1, 100),
        client.listTags(repository('a')),
        client.listRepositories(registry.host),
      ])
    registry.faults = faults
    for (let round = 0; round < 5; round++) {
      registry.tokens.expireAll()
      for (const result of await use())
        if (result.status === 'rejected') assert.ok(!hasCode(result.reason, 'TIMEOUT'), String(result.reason))
    }
    registry.faults = {}
    for (const result of await use()) assert.equal(result.status, 'fulfilled')
  })
}
