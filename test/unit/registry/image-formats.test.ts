import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as mediaTypes from '../../../src/registry/media-types.js'
import { parsePlatform } from '../../../src/registry/platform.js'
import { parseManifest } from '../../../src/registry/manifest.js'
import { payloadOf } from '../../../src/registry/schema1.js'
import { digestOf } from '../../../src/util/digest.js'
import { setUp } from '../../support/fake-registry-client.js'
import { gzipLayer } from '../../support/images.js'
import { file, tarOf } from '../../support/tar-of.js'

const base = gzipLayer(tarOf(file('base', 'b'.repeat(2000))))
const top = gzipLayer(tarOf(file('top', 'top')))
const empty = gzipLayer(tarOf())

/** Top first, as schema 1 has it; the middle one stands for an ENV line. */
function schema1(): Buffer {
  const sum = (bytes: Buffer): object => ({ blobSum: digestOf(bytes) })
  const history = (fields: object): object => ({ v1Compatibility: JSON.stringify({ id: 'x', ...fields }) })
  const document = {
    schemaVersion: 1,
    name: 'old',
    tag: '1',
    architecture: 'amd64',
    fsLayers: [sum(top.bytes), sum(empty.bytes), sum(base.bytes)],
    history: [history({ os: 'linux', architecture: 'arm64' }), history({ throwaway: true }), history({})],
  }
  return Buffer.from(JSON.stringify(document, undefined, 3))
}

/** libtrust's: the signatures take the place of the last brace. */
function sign(payload: Buffer): Buffer {
  const formatLength = payload.lastIndexOf('\n}')
  const formatTail = payload.subarray(formatLength).toString('base64url')
  const header = Buffer.from(JSON.stringify({ formatLength, formatTail, time: '2015-01-01T00:00:00Z' }))
  const signatures = [
    { header: { alg: 'ES256' }, signature: 'c2ln', protected: header.toString('base64url') },
  ]
  return Buffer.concat([
    payload.subarray(0, formatLength),
    Buffer.from(`,\n   "signatures": ${JSON.stringify(signatures)}\n}`),
  ])
}

test('a schema 1 manifest is turned base first, without its throwaway layers', () => {
  const parsed = parseManifest(schema1(), mediaTypes.dockerSchema1, 'test')
  assert.ok(parsed.kind === 'schema 1')
  assert.deepEqual(parsed.blobSums, [digestOf(base.bytes), digestOf(top.bytes)])
  assert.equal(parseManifest(schema1(), undefined, 'test').kind, 'schema 1')
})

test('the digest of a signed schema 1 manifest is that of its payload', () => {
  const payload = schema1()
  assert.deepEqual(payloadOf(sign(payload), 'test'), payload)
  assert.deepEqual(payloadOf(payload, 'test'), payload)
  const lying = Buffer.from(
    sign(payload)
      .toString()
      .replace(/"protected":"[^"]+"/, '"protected":"e30"'),
  )
  assert.throws(() => payloadOf(lying, 'test'), { code: 'PROTOCOL' })
})

test('malformed schema 1 manifests are refused', () => {
  const document = JSON.parse(schema1().toString()) as Record<string, unknown>
  for (const change of [
    { fsLayers: [] },
    { history: undefined },
    { fsLayers: [5, 5, 5] },
    { history: [{ v1Compatibility: '[' }, {}, {}] },
    { schemaVersion: 2 },
  ]) {
    const bytes = Buffer.from(JSON.stringify({ ...document, ...change }))
    assert.throws(() => parseManifest(bytes, mediaTypes.dockerSchema1, 'test'), { code: 'PROTOCOL' })
  }
})

for (const [what, mediaType] of [
  ['unsigned', mediaTypes.dockerSchema1],
  ['signed', mediaTypes.dockerSchema1Signed],
] as const) {
  test(`a registry's ${what} schema 1 image has layers with sizes, and a platform`, async (t) => {
    const { registry, client, reference, documents } = await setUp(t)
    for (const { bytes } of [base, top, empty]) registry.addBlob(bytes)
    const payload = schema1()
    const bytes = what === 'signed' ? sign(payload) : payload
    registry.addManifest('old', '1', bytes, mediaType, digestOf(payload))
    const manifest = await client.fetchManifest(reference('old:1'))
    assert.equal(manifest.digest, digestOf(payload))
    assert.deepEqual(
      manifest.layers.map(({ size }) => size),
      [base.bytes.length, top.bytes.length],
    )
    const config = await client.fetchDocument(reference('old:1'), manifest.config)
    assert.match(config.toString(), /"architecture":"arm64"/)
    assert.deepEqual(await documents.load(manifest.digest), payload)
    const again = await client.fetchManifest(reference(`old@${manifest.digest}`))
    assert.deepEqual(again.layers, manifest.layers)
    const blob = client.openBlob(reference('old:1'), manifest.layers[1] ?? assert.fail())
    assert.deepEqual(await blob.read(0, 1 << 20), top.bytes)
  })
}

test('entries of an index that are no manifests are passed over', async (t) => {
  const { registry, client, reference } = await setUp(t, {}, { platform: parsePlatform('linux/amd64') })
  const image = registry.addImage('a', 'x', { layers: [base] })
  const entry = { digest: image.digest, size: image.manifest.length }
  const platform = { os: 'linux', architecture: 'amd64' }
  const manifests = [
    { ...entry, digest: digestOf(Buffer.from('sbom')), mediaType: 'application/spdx+json', platform },
    {
      ...entry,
      digest: digestOf(Buffer.from('statement')),
      mediaType: image.mediaType,
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
      platform: { os: 'unknown', architecture: 'unknown' },
    },
    { ...entry, mediaType: image.mediaType, platform },
  ]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.dockerList, manifests }))
  registry.addManifest('a', '1', bytes, mediaTypes.dockerList)
  assert.equal((await client.fetchManifest(reference('a:1'))).digest, image.digest)
})

test('inline data of manifest, config and layer costs no request', async (t) => {
  const { registry, client, reference } = await setUp(t)
  const inline = (bytes: Buffer, mediaType: string): object => ({
    mediaType,
    digest: digestOf(bytes, 'sha512'),
    size: bytes.length,
    data: bytes.toString('base64'),
  })
  const config = inline(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json')
  const layers = [inline(top.bytes, top.mediaType)]
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }),
  )
  const manifests = [inline(manifest, mediaTypes.ociManifest)]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }))
  registry.addManifest('a', '1', bytes, mediaTypes.ociIndex)
  const fetched = await client.fetchManifest(reference('a:1'))
  assert.equal(fetched.digest, digestOf(manifest, 'sha512'))
  assert.equal((await client.fetchDocument(reference('a:1'), fetched.config)).toString(), '{}')
  const blob = client.openBlob(reference('a:1'), fetched.layers[0] ?? assert.fail())
  assert.deepEqual(await blob.read(0, 1 << 20), top.bytes)
  assert.equal(registry.requests.length, 1)
})

test('a foreign layer comes from its URL when the registry does not have it, and without authorization', async (t) => {
  const { registry, client, repository } = await setUp(t, { auth: {} })
  const elsewhere = await setUp(t)
  const digest = elsewhere.registry.addBlob(base.bytes)
  const url = (scheme: string): string => `${scheme}://${elsewhere.registry.host}/v2/layers/blobs/${digest}`
  const descriptor = {
    mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    digest,
    size: base.bytes.length,
    annotations: {},
  }
  const urls = ['ftp://example.com/a', url('http').replace('//', '//user:secret@'), url('http')]
  const blob = client.openBlob(repository('a'), { ...descriptor, urls })
  assert.deepEqual(await blob.read(0, 100), base.bytes.subarray(0, 100))
  assert.deepEqual(elsewhere.registry.trace, ['GET blob 206'])
  assert.equal(elsewhere.registry.requests[0]?.authorized, false)
  assert.ok(registry.requests.some(({ authorized, kind }) => kind === 'blob' && authorized))
  registry.forgetRequests()
  assert.deepEqual(await blob.read(100, 100), base.bytes.subarray(100, 200))
  assert.equal(registry.requests.length, 0)
  for (const refused of [['ftp://example.com/a'], ['http://example.com/a'], [urls[1] ?? '']]) {
    const none = client.openBlob(repository('a'), { ...descriptor, urls: refused })
    await assert.rejects(none.read(0, 1), { code: 'GONE' })
  }
  registry.addBlob(base.bytes)
  elsewhere.registry.forgetRequests()
  await client.openBlob(repository('a'), { ...descriptor, urls }).read(0, 1)
  assert.equal(elsewhere.registry.requests.length, 0)
})
