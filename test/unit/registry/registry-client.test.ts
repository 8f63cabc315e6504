import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as mediaTypes from '../../../src/registry/media-types.js'
import { parsePlatform } from '../../../src/registry/platform.js'
import { digestOf } from '../../../src/util/digest.js'
import { setUp } from '../../support/fake-registry-client.js'
import { imageOf } from '../../support/images.js'

const layer = { bytes: Buffer.from('a layer'), mediaType: 'application/vnd.oci.image.layer.v1.tar' }

test('a tag costs one request, its digest none, and its config one more', async (t) => {
  const { registry, client, reference, repository } = await setUp(t)
  const image = registry.addImage('a/b', '1', { layers: [layer] })

  const manifest = await client.fetchManifest(reference('a/b:1'))
  assert.equal(manifest.digest, image.digest)
  assert.equal(manifest.topDigest, image.digest)
  assert.equal(manifest.mediaType, mediaTypes.ociManifest)
  assert.deepEqual(manifest.layers, image.layers)
  assert.deepEqual(registry.trace, ['GET manifest 200'])

  assert.deepEqual(await client.fetchManifest(reference(`a/b@${image.digest}`)), manifest)
  assert.deepEqual(await client.fetchManifest(reference(`a/b:1@${image.digest}`)), manifest)
  assert.equal(registry.requests.length, 1)

  assert.deepEqual(await client.fetchDocument(repository('a/b'), manifest.config), image.blobs[0])
  assert.deepEqual(await client.fetchDocument(repository('a/b'), manifest.config), image.blobs[0])
  assert.deepEqual(registry.trace, ['GET manifest 200', 'GET blob 200'])
  assert.equal(client.counters.requests, 2)
  assert.equal(client.counters.manifestRequests, 1)
  assert.equal(client.counters.blobRequests, 1)
  assert.equal(client.counters.blobBytes, image.config.size)
  assert.equal(registry.requests[0]?.userAgent, 'registryfs/test')
})

test('who asks for the same tag meanwhile shares the request', async (t) => {
  const { registry, client, reference } = await setUp(t, { faults: { latencyMs: 5 } })
  registry.addImage('a', '1', { layers: [layer] })
  const got = await Promise.all(
    Array.from({ length: 10 }, async () => client.fetchManifest(reference('a:1'))),
  )
  assert.equal(new Set(got).size, 1)
  assert.equal(registry.requests.length, 1)
})

test('an index is narrowed to the platform, and both documents are kept', async (t) => {
  const { registry, client, reference, documents } = await setUp(
    t,
    {},
    { platform: parsePlatform('linux/arm64/v8') },
  )
  const amd64 = registry.addImage('a', 'amd64', { layers: [layer] })
  const arm64 = registry.addImage('a', 'arm64', { layers: [layer], platform: 'linux/arm64', docker: true })
  const index = registry.addIndex('a', 'latest', [
    { image: amd64, platform: 'unknown/unknown' },
    { image: amd64, platform: 'linux/amd64' },
    { image: arm64, platform: 'linux/arm64' },
  ])
  const manifest = await client.fetchManifest(reference('a'))
  assert.equal(manifest.digest, arm64.digest)
  assert.equal(manifest.topDigest, index)
  assert.equal(manifest.mediaType, mediaTypes.dockerManifest)
  assert.deepEqual(registry.trace, ['GET manifest 200', 'GET manifest 200'])
  assert.ok((await documents.load(index)) !== undefined)
  assert.ok((await documents.load(arm64.digest)) !== undefined)
  await client.fetchManifest(reference(`a@${index}`))
  assert.equal(registry.requests.length, 2)
})

test('an index without the platform says what it has', async (t) => {
  const { registry, client, reference } = await setUp(t)
  const image = registry.addImage('a', 'x', { layers: [] })
  registry.addIndex('a', '1', [
    { image, platform: 'linux/s390x' },
    { image, platform: 'linux/arm/v7' },
  ])
  await assert.rejects(client.fetchManifest(reference('a:1')), {
    code: 'NOT_FOUND',
    message: /no image for linux\/amd64: it has linux\/s390x, linux\/arm\/v7$/,
  })
})

test('nested indexes are followed to four levels', async (t) => {
  const { registry, client, reference } = await setUp(t)
  const image = registry.addImage('a', 'x', { layers: [] })
  let member: { digest: typeof image.digest; mediaType: string; manifest: Buffer } = image
  for (let depth = 1; depth <= 5; depth++) {
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociIndex,
        manifests: [{ mediaType: member.mediaType, digest: member.digest, size: member.manifest.length }],
      }),
    )
    const digest = registry.addManifest('a', `depth${String(depth)}`, bytes, mediaTypes.ociIndex)
    member = { digest, mediaType: mediaTypes.ociIndex, manifest: bytes }
  }
  assert.equal((await client.fetchManifest(reference('a:depth4'))).digest, image.digest)
  await assert.rejects(client.fetchManifest(reference('a:depth5')), { code: 'LIMIT' })
})

test('a manifest that is not what its digest says is refused and not kept', async (t) => {
  const { registry, client, reference, documents } = await setUp(t, { faults: { corruptManifests: true } })
  const image = registry.addImage('a', '1', { layers: [] })
  await assert.rejects(client.fetchManifest(reference(`a@${image.digest}`)), { code: 'DIGEST_MISMATCH' })
  await assert.rejects(client.fetchManifest(reference('a:1')), { code: 'DIGEST_MISMATCH' })
  assert.equal(await documents.load(image.digest), undefined)
})

test('a registry that does not say the digest is taken at the bytes', async (t) => {
  const { registry, client, reference } = await setUp(t, { faults: { noContentDigest: true } })
  const image = registry.addImage('a', '1', { layers: [] })
  assert.equal((await client.fetchManifest(reference('a:1'))).digest, image.digest)
})

test('a manifest that is only sent as JSON is understood', async (t) => {
  const { registry, client, reference } = await setUp(t, {
    faults: { manifestContentType: 'application/json' },
  })
  registry.addImage('a', '1', { layers: [layer] })
  assert.equal((await client.fetchManifest(reference('a:1'))).mediaType, mediaTypes.ociManifest)
})

test("what does not exist is said in one line with the registry's words", async (t) => {
  const { registry, client, reference } = await setUp(t)
  registry.addImage('a', '1', { layers: [] })
  await assert.rejects(client.fetchManifest(reference('a:2')), {
    code: 'NOT_FOUND',
    message: `${registry.host}: GET manifests/2 of a: 404 MANIFEST_UNKNOWN manifest unknown`,
  })
  await assert.rejects(client.fetchManifest(reference('nope')), {
    code: 'NOT_FOUND',
    message: /NAME_UNKNOWN/,
  })
  assert.equal(registry.requests.length, 2)
})

test('what is no registry says so', async (t) => {
  const { registry, client, reference } = await setUp(t, { faults: { html: true } })
  registry.addImage('a', '1', { layers: [] })
  await assert.rejects(client.fetchManifest(reference('a:1')), {
    code: 'PROTOCOL',
    message: /web page: there is no registry/,
  })
  await assert.rejects(client.listRepositories(registry.host), { code: 'PROTOCOL' })
})

test('a tag is resolved by HEAD, which no registry counts as a pull', async (t) => {
  const { registry, client, reference } = await setUp(t)
  const image = registry.addImage('a', '1', { layers: [] })
  assert.equal(await client.resolveTag(reference('a:1')), image.digest)
  assert.equal(await client.resolveTag(reference('a:2')), undefined)
  assert.equal(await client.resolveTag(reference('b')), undefined)
  assert.deepEqual(registry.trace, ['HEAD manifest 200', 'HEAD manifest 404', 'HEAD manifest 404'])
  const moved = registry.addImage('a', '1', { layers: [layer] })
  assert.equal(await client.resolveTag(reference('a:1')), moved.digest)
  assert.equal(await client.resolveTag(reference(`a@${image.digest}`)), image.digest)
  assert.equal(registry.requests.length, 4)
})

test('where HEAD does not help a tag is resolved by GET', async (t) => {
  for (const faults of [{ headStatus: 405 }, { headStatus: 501 }, { noContentDigest: true }]) {
    const { registry, client, reference } = await setUp(t, { faults })
    const image = registry.addImage('a', '1', { layers: [] })
    assert.equal(await client.resolveTag(reference('a:1')), image.digest)
    assert.equal(registry.requests.length, 2)
  }
})

test('a document is verified, bounded, and gone when it is not there', async (t) => {
  const { registry, client, repository } = await setUp(t)
  const bytes = Buffer.from('{}')
  const digest = registry.addBlob(bytes)
  const descriptor = { mediaType: 'x', digest, size: bytes.length, annotations: {} }
  await assert.rejects(client.fetchDocument(repository('a'), { ...descriptor, size: 5 * 1024 * 1024 }), {
    code: 'LIMIT',
  })
  assert.equal(registry.requests.length, 0)
  await assert.rejects(client.fetchDocument(repository('a'), { ...descriptor, size: 1 }), { code: 'LIMIT' })
  registry.faults = { corruptBlobs: true }
  await assert.rejects(client.fetchDocument(repository('a'), descriptor), { code: 'DIGEST_MISMATCH' })
  registry.faults = { missingBlobs: new Set([digest]) }
  await assert.rejects(client.fetchDocument(repository('a'), descriptor), {
    code: 'GONE',
    message: /no longer/,
  })
  registry.faults = { redirect: 'cdn' }
  assert.deepEqual(await client.fetchDocument(repository('a'), descriptor), bytes)
})

test('an empty document costs no request', async (t) => {
  const { registry, client, repository } = await setUp(t)
  const descriptor = { mediaType: 'x', digest: digestOf(Buffer.alloc(0)), size: 0, annotations: {} }
  assert.equal((await client.fetchDocument(repository('a'), descriptor)).length, 0)
  assert.equal(registry.requests.length, 0)
})

test('a document whose body breaks off is asked for again', async (t) => {
  const { registry, client, repository } = await setUp(t, { faults: { resetAfter: { bytes: 3, times: 2 } } })
  const bytes = Buffer.from('0123456789')
  const descriptor = { mediaType: 'x', digest: registry.addBlob(bytes), size: bytes.length, annotations: {} }
  assert.deepEqual(await client.fetchDocument(repository('a'), descriptor), bytes)
  assert.equal(registry.requests.length, 3)
})

test('a document that was cut off, in an answer without its length, is asked for again', async (t) => {
  const { registry, client, repository } = await setUp(t)
  const fetch = async (bytes: Buffer): Promise<Buffer> => {
    registry.forgetRequests()
    const descriptor = {
      mediaType: 'x',
      digest: registry.addBlob(bytes),
      size: bytes.length,
      annotations: {},
    }
    return client.fetchDocument(repository('a'), descriptor)
  }
  for (const missing of [3, 100]) {
    registry.faults.shortBy = { bytes: missing, times: 2 }
    const bytes = Buffer.from(`0123456789 ${String(missing)}`)
    assert.deepEqual(await fetch(bytes), bytes)
    assert.equal(registry.requests.length, 3)
  }
  registry.faults.shortBy = { bytes: 3, times: Infinity }
  await assert.rejects(fetch(Buffer.from('never')), { code: 'DIGEST_MISMATCH' })
  assert.equal(registry.requests.length, 3)
})

test('a document that a storage refuses is asked for at the registry once more', async (t) => {
  const { registry, client, repository } = await setUp(t, { faults: { redirect: 'cdn' } })
  const bytes = Buffer.from('{}')
  const descriptor = { mediaType: 'x', digest: registry.addBlob(bytes), size: 2, annotations: {} }
  registry.faults.failing = { kind: 'cdn', status: 403, times: 2 }
  await assert.rejects(client.fetchDocument(repository('a'), descriptor), { code: 'DENIED' })
  registry.forgetRequests()
  registry.faults.failing = { kind: 'cdn', status: 403, times: 1 }
  assert.deepEqual(await client.fetchDocument(repository('a'), descriptor), bytes)
  assert.deepEqual(registry.trace, ['GET blob 307', 'GET cdn 403', 'GET blob 307', 'GET cdn 200'])
})

test('listings are read page by page', async (t) => {
  const { registry, client, repository } = await setUp(t, { faults: { pageSize: 2 } })
  const digestTag = `sha256-${'0'.repeat(64)}`
  for (const tag of ['1', '2', '3', 'latest', digestTag, `${digestTag}.sig`])
    registry.addImage('a/b', tag, { layers: [] })
  registry.addImage('c', '1', { layers: [] })
  registry.addImage('d', '1', { layers: [] })
  assert.deepEqual(await client.listTags(repository('a/b')), ['1', '2', '3', 'latest'])
  assert.deepEqual(await client.listRepositories(registry.host), ['a/b', 'c', 'd'])
  assert.equal(registry.requests.length, 3 + 2)
})

test('names that no repository can have are not listed', async (t) => {
  const { registry, client } = await setUp(t)
  for (const name of ['ok', '..', 'a/../b', 'A', 'x y']) {
    registry.addManifest(name, '1', imageOf({ layers: [] }).manifest, mediaTypes.ociManifest)
  }
  assert.deepEqual(await client.listRepositories(registry.host), ['ok'])
})

test('a registry without a catalog, and a repository that is not there, list as undefined', async (t) => {
  const { registry, client, repository } = await setUp(t, { faults: { noCatalog: true } })
  assert.equal(await client.listRepositories(registry.host), undefined)
  assert.equal(await client.listTags(repository('nope')), undefined)
  for (const status of [401, 403, 405, 501]) {
    registry.faults = { failing: { kind: 'list', status, times: 1 } }
    assert.equal(await client.listRepositories(registry.host), undefined)
  }
  registry.faults = { failing: { kind: 'list', status: 403, times: 1 } }
  await assert.rejects(client.listTags(repository('a')), { code: 'DENIED' })
})

test('429 and 5xx but 501 are tried again, other statuses never', async (t) => {
  const { registry, client, reference } = await setUp(t)
  registry.addImage('a', '1', { layers: [] })
  for (const status of [429, 500, 502, 503, 504]) {
    registry.forgetRequests()
    registry.faults = { failing: { kind: 'manifest', status, times: 2, retryAfter: '0' } }
    await client.fetchManifest(reference('a:1'))
    assert.equal(registry.requests.length, 3, String(status))
  }
  const final = [
    [400, 'PROTOCOL'],
    [401, 'UNAUTHORIZED'],
    [403, 'DENIED'],
    [404, 'NOT_FOUND'],
    [418, 'PROTOCOL'],
    [451, 'DENIED'],
    [501, 'UNSUPPORTED'],
  ] as const
  for (const [status, code] of final) {
    registry.faults = { failing: { kind: 'manifest', status, times: 1 } }
    registry.forgetRequests()
    await assert.rejects(client.fetchManifest(reference('a:1')), { code }, String(status))
    // A 401 without a challenge is asked about at /v2/.
    assert.equal(registry.requests.length, status === 401 ? 2 : 1, String(status))
  }
})

test('a registry that stays overloaded is an error with the time that it asked for', async (t) => {
  const { registry, client, reference } = await setUp(
    t,
    {},
    { retry: { totalMs: 1000, longestWaitMs: 1000 } },
  )
  registry.addImage('a', '1', { layers: [] })
  registry.faults = { failing: { kind: 'manifest', status: 429, times: 9, retryAfter: '60' } }
  await assert.rejects(client.fetchManifest(reference('a:1')), { code: 'RATE_LIMITED', retryAfterMs: 60_000 })
  assert.equal(registry.requests.length, 1)
  await assert.rejects(client.fetchManifest(reference('a:1')), {
    code: 'RATE_LIMITED',
    message: /another 60 s/,
  })
  assert.equal(registry.requests.length, 1)
})

test('a host that refuses connections, and one that does not exist, are named plainly', async (t) => {
  const { registry, client, reference } = await setUp(t)
  const nowhere = reference('a:1')
  await registry.stop()
  await assert.rejects(client.fetchManifest(nowhere), {
    code: 'UNAVAILABLE',
    message: `${nowhere.host}: GET manifests/1 of a: ${nowhere.host} refuses connections`,
  })
  assert.equal(client.counters.retries, 2)
  assert.equal(client.counters.requests, 0)
})

test('a signal gives up one waiter and leaves the work to the others', async (t) => {
  const { registry, client, reference } = await setUp(t, { faults: { latencyMs: 10 } })
  registry.addImage('a', '1', { layers: [] })
  const controller = new AbortController()
  const given = client.fetchManifest(reference('a:1'), { signal: controller.signal })
  const kept = client.fetchManifest(reference('a:1'))
  controller.abort()
  await assert.rejects(given, { code: 'ABORTED' })
  await kept
  assert.equal(registry.requests.length, 1)
})

test('a document has a deadline', async (t) => {
  const { registry, client, reference } = await setUp(
    t,
    { faults: { latencyMs: 500 } },
    { timeouts: { documentMs: 10 } },
  )
  registry.addImage('a', '1', { layers: [] })
  await assert.rejects(client.fetchManifest(reference('a:1')), { code: 'TIMEOUT' })
})

test('closing ends what is under way and what comes later', async (t) => {
  const { registry, client, reference } = await setUp(t, { faults: { latencyMs: 500 } })
  registry.addImage('a', '1', { layers: [] })
  const running = client.fetchManifest(reference('a:1'))
  const rejected = assert.rejects(running, { code: 'ABORTED' })
  await client.close()
  await rejected
  await assert.rejects(client.resolveTag(reference('a:1')), { code: 'ABORTED', message: /closed/ })
})

test('an insecure host is tried with https and then spoken to in plain http for good', async (t) => {
  const { registry, documents, reference, logged } = await setUp(t)
  const { RegistryClient } = await import('../../../src/registry/registry-client.js')
  const { recordingLogger } = await import('../../support/fake-registry-client.js')
  const client = new RegistryClient({
    documents,
    log: recordingLogger(logged),
    platform: parsePlatform('linux/amd64'),
    insecureHosts: [registry.host],
  })
  t.after(async () => client.close())
  registry.addImage('a', '1', { layers: [] })
  await client.fetchManifest(reference('a:1'))
  await client.resolveTag(reference('a:1'))
  assert.deepEqual(registry.trace, ['GET manifest 200', 'HEAD manifest 200'])
  assert.equal(logged.filter((line) => line.includes('plain http')).length, 1)
})
