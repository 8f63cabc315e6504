import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import type { BlobSource } from '../../../src/blob/source.js'
import type { RegistryClientOptions } from '../../../src/registry/registry-client.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { setUp, type Setup } from '../../support/fake-registry-client.js'
import type { FakeRegistryOptions } from '../../support/fake-registry.js'

const size = 300_000
const bytes = randomBytes(size)

interface BlobSetup extends Setup {
  readonly blob: BlobSource
}

async function setUpBlob(
  t: TestContext,
  registryOptions: FakeRegistryOptions = {},
  clientOptions: Partial<RegistryClientOptions> = {},
): Promise<BlobSetup> {
  const setup = await setUp(t, registryOptions, clientOptions)
  const digest = setup.registry.addBlob(bytes)
  const blob = setup.client.openBlob(setup.repository('a/b'), {
    mediaType: 'x',
    digest,
    size,
    annotations: {},
  })
  return { ...setup, blob }
}

async function assertReads(blob: BlobSource, offset: number, length: number): Promise<void> {
  assert.ok(
    bytes.subarray(offset, offset + length).equals(await blob.read(offset, length)),
    `${String(offset)}+${String(length)}`,
  )
}

test('a read is one closed range with nothing before it, clamped to the size', async (t) => {
  const { registry, client, blob } = await setUpBlob(t)
  await assertReads(blob, 10, 20)
  await assertReads(blob, size - 5, 100)
  assert.equal((await blob.read(size, 10)).length, 0)
  assert.equal((await blob.read(size + 5, 10)).length, 0)
  assert.equal((await blob.read(5, 0)).length, 0)
  assert.deepEqual(
    registry.requests.map(({ range }) => range),
    ['bytes=10-29', `bytes=${String(size - 5)}-${String(size - 1)}`],
  )
  assert.deepEqual(registry.trace, ['GET blob 206', 'GET blob 206'])
  assert.equal(client.counters.blobBytes, 25)
})

test('readInto fills the target as bytes arrive and says how far it is', async (t) => {
  const { blob } = await setUpBlob(t)
  const target = Buffer.alloc(200_000)
  let last = 0
  await blob.readInto(1000, target, {
    onProgress: (filled) => {
      assert.ok(filled > last)
      assert.ok(target.subarray(last, filled).equals(bytes.subarray(1000 + last, 1000 + filled)))
      last = filled
    },
  })
  assert.equal(last, target.length)
  assert.ok(target.equals(bytes.subarray(1000, 201_000)))
})

test('readInto beyond the end is refused', async (t) => {
  const { registry, blob } = await setUpBlob(t)
  for (const offset of [size - 9, size, -1, 0.5, NaN]) {
    await assert.rejects(blob.readInto(offset, Buffer.alloc(10)), { code: 'INVALID' }, String(offset))
  }
  assert.equal(registry.requests.length, 0)
})

test('a redirect is followed once for all ranges, without Authorization', async (t) => {
  const { registry, client, blob } = await setUpBlob(t, {
    auth: {},
    faults: { redirect: 'cdn', latencyMs: 1 },
  })
  await Promise.all([0, 1, 2, 3].map(async (index) => assertReads(blob, index * 1000, 1000)))
  await assertReads(blob, 5000, 10)
  const kinds = (kind: string): number => registry.requests.filter((request) => request.kind === kind).length
  assert.equal(kinds('blob'), 2)
  assert.equal(kinds('token'), 1)
  assert.equal(kinds('cdn'), 5)
  assert.ok(registry.requests.every(({ kind, authorized }) => kind !== 'cdn' || !authorized))
  assert.equal(client.counters.requests, registry.requests.length)
  assert.equal(client.counters.blobRequests, 7)
})

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect may be ${String(status)}`, async (t) => {
    const { blob } = await setUpBlob(t, { faults: { redirect: 'cdn', redirectStatus: status } })
    await assertReads(blob, 7, 100)
  })
}

for (const redirect of ['relative', 'chain'] as const) {
  test(`a ${redirect} redirect is followed`, async (t) => {
    const { registry, blob } = await setUpBlob(t, { auth: {}, faults: { redirect } })
    await assertReads(blob, 7, 100)
    const before = registry.requests.length
    await assertReads(blob, 1007, 100)
    assert.equal(registry.requests.length, before + 1)
  })
}

test('a redirect that never ends is an error', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'loop' } })
  await assert.rejects(blob.read(0, 1), { code: 'PROTOCOL', message: /more than 5 redirects/ })
  assert.equal(registry.requests.length, 6)
})

for (const status of [400, 401, 403, 404, 410]) {
  test(`a signed URL that expires with ${String(status)} is asked for again, once`, async (t) => {
    const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'cdn', expiredUrlStatus: status } })
    await assertReads(blob, 0, 10)
    registry.expireUrls()
    registry.forgetRequests()
    await assertReads(blob, 10, 10)
    assert.deepEqual(registry.trace, [`GET cdn ${String(status)}`, 'GET blob 307', 'GET cdn 206'])
  })
}

test('an expired URL and then a wrong answer are each asked for anew', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'cdn' } })
  await assertReads(blob, 0, 10)
  registry.expireUrls()
  registry.forgetRequests()
  registry.faults = { redirect: 'cdn', ranges: 'shifted', rangesTimes: 1 }
  await assertReads(blob, 10, 10)
  assert.deepEqual(registry.trace, [
    ...['GET cdn 403', 'GET blob 307', 'GET cdn 206'],
    ...['GET blob 307', 'GET cdn 206'],
  ])
})

test('signed URLs that are refused when new are asked for twice more, then are the error', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'cdn', urlTtlMs: -1 } })
  await assert.rejects(blob.read(0, 10), {
    code: 'DENIED',
    message: new RegExp(`403 from ${registry.cdnHost}`),
  })
  assert.deepEqual(
    registry.trace,
    [1, 2, 3].flatMap(() => ['GET blob 307', 'GET cdn 403']),
  )
})

test('a signed URL that expires while ranges are under way is renewed by all of them together', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'cdn', latencyMs: 1 } })
  await assertReads(blob, 0, 10)
  registry.expireUrls()
  registry.forgetRequests()
  await Promise.all([0, 1, 2, 3].map(async (index) => assertReads(blob, index * 1000, 1000)))
  assert.equal(registry.requests.filter(({ kind }) => kind === 'blob').length, 1)
})

test('a storage that is gone is not asked for good', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'cdn' } })
  await assertReads(blob, 0, 10)
  registry.faults = { failing: { kind: 'cdn', status: 503, times: 3 } }
  await assert.rejects(blob.read(10, 10), { code: 'UNAVAILABLE' })
  await assertReads(blob, 10, 10)
})

test('a total of * is as good', async (t) => {
  const { blob } = await setUpBlob(t, { faults: { ranges: 'star-total' } })
  await assertReads(blob, 5, 5)
})

for (const ranges of ['shifted', 'wrong-total', 'no-content-range', 'multipart'] as const) {
  test(`a 206 that is ${ranges} is an error after the registry was asked once more`, async (t) => {
    const { registry, blob } = await setUpBlob(t, { faults: { ranges } })
    await assert.rejects(blob.read(5, 5), {
      code: 'PROTOCOL',
      message: /asked for bytes 5-9\/300000, got content-range/,
    })
    assert.equal(registry.requests.length, 2)
    registry.faults = {}
    await assertReads(blob, 5, 5)
  })
}

for (const ranges of ['shifted', 'multipart'] as const) {
  test(`a storage that once answers ${ranges} is left for what the registry says now`, async (t) => {
    const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'cdn' } })
    await assertReads(blob, 0, 10)
    registry.forgetRequests()
    registry.faults = { redirect: 'cdn', ranges, rangesTimes: 1 }
    await assertReads(blob, 10, 10)
    assert.deepEqual(registry.trace, ['GET cdn 206', 'GET blob 307', 'GET cdn 206'])
  })
}

test('signed URLs may expire again and again within one read, as long as each gave something', async (t) => {
  const faults = { redirect: 'cdn', resetAfter: { bytes: 50_000, times: 4 }, urlUses: 1 } as const
  const { registry, blob } = await setUpBlob(t, { faults })
  await assertReads(blob, 0, size)
  assert.equal(registry.requests.filter(({ kind, status }) => kind === 'cdn' && status === 403).length, 4)
})

test('an encoded answer is an error', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { contentEncoding: 'gzip' } })
  await assert.rejects(blob.read(5, 5), { code: 'PROTOCOL', message: /encoded/ })
  registry.faults = { contentEncoding: 'identity' }
  await assertReads(blob, 5, 5)
})

test('a web page in place of a blob is an error', async (t) => {
  const { blob } = await setUpBlob(t, { faults: { html: true } })
  await assert.rejects(blob.read(5, 5), {
    code: 'PROTOCOL',
    message: /neither a part nor the whole blob.*text\/html/,
  })
})

test('a server without ranges is read through once, from read to read', async (t) => {
  const { registry, client, blob, logged } = await setUpBlob(t, { faults: { ranges: 'ignored' } })
  await assertReads(blob, 100, 1000)
  await assertReads(blob, 1100, 50_000)
  await Promise.all([60_000, 70_000, 80_000].map(async (offset) => assertReads(blob, offset, 10_000)))
  await assertReads(blob, 290_000, 10_000)
  assert.deepEqual(registry.trace, ['GET blob 200'])
  assert.equal(client.counters.blobBytes, size)
  await assertReads(blob, 0, 10)
  assert.deepEqual(registry.trace, ['GET blob 200', 'GET blob 200'])
  assert.equal(logged.filter((line) => line.includes('ignores ranges')).length, 1)
})

test('a 200 for the whole blob is nothing to warn of', async (t) => {
  const { blob, logged } = await setUpBlob(t, { faults: { ranges: 'ignored' } })
  await assertReads(blob, 0, size)
  assert.ok(!logged.some((line) => line.includes('ignores ranges')))
})

test('a stream without ranges that breaks off goes on from its start', async (t) => {
  const { registry, blob } = await setUpBlob(t, {
    faults: { ranges: 'ignored', resetAfter: { bytes: 150_000, times: 1 } },
  })
  await assertReads(blob, 100_000, 100_000)
  await assertReads(blob, 200_000, 100_000)
  assert.deepEqual(registry.trace, ['GET blob 200', 'GET blob 200'])
})

for (const [name, faults] of Object.entries({
  'is reset': { resetAfter: { bytes: 40_000, times: 2 } },
  'ends early': { shortBy: { bytes: 20_000, times: 2 } },
  stalls: { stallAfter: { bytes: 40_000, times: 2 } },
})) {
  test(`a body that ${name} goes on at the byte where it broke`, async (t) => {
    const { registry, client, blob } = await setUpBlob(t, { faults }, { timeouts: { stallMs: 30 } })
    await assertReads(blob, 1000, 200_000)
    assert.equal(registry.requests.length, 3)
    const starts = registry.requests.map(({ range }) => Number(/=(\d+)-/.exec(range ?? '')?.[1]))
    assert.ok((starts[0] ?? 0) < (starts[1] ?? 0) && (starts[1] ?? 0) <= (starts[2] ?? 0), starts.join(' '))
    assert.ok(registry.requests.every(({ range }) => range?.endsWith('-200999')))
    assert.equal(client.counters.blobBytes, 200_000)
    assert.equal(client.counters.retries, 2)
  })
}

test('a server that always breaks off is read in pieces as long as there is progress', async (t) => {
  const { registry, blob } = await setUpBlob(t, {
    faults: { resetAfter: { bytes: 20_000, times: Infinity } },
  })
  await assertReads(blob, 0, size)
  assert.equal(registry.requests.length, 15)
})

test('a server that makes no progress is given up', async (t) => {
  const { registry, blob } = await setUpBlob(
    t,
    { faults: { resetAfter: { bytes: 0, times: Infinity } } },
    { maxResumes: 2 },
  )
  await assert.rejects(blob.read(0, 100), { code: 'UNAVAILABLE', message: /broke off/ })
  assert.equal(registry.requests.length, 3)
})

test('a range that is longer than asked for is an error', async (t) => {
  const { registry, repository, client } = await setUp(t)
  const digest = registry.addBlob(bytes)
  const blob = client.openBlob(repository('a'), { mediaType: 'x', digest, size: size - 1, annotations: {} })
  await assert.rejects(blob.read(0, 10), {
    code: 'PROTOCOL',
    message: /got content-range "bytes 0-9\/300000"/,
  })
})

test('a layer that has been deleted is gone, at the registry and behind a redirect', async (t) => {
  const { registry, blob } = await setUpBlob(t)
  const digest = registry.addBlob(bytes)
  const gone = {
    code: 'GONE',
    layer: digest,
    message: `${registry.host}: layer ${digest} of a/b is no longer in the registry`,
  }
  registry.faults = { missingBlobs: new Set([digest]) }
  await assert.rejects(blob.read(0, 10), gone)
  registry.faults = { redirect: 'cdn' }
  await assertReads(blob, 0, 10)
  registry.faults = { redirect: 'cdn', missingBlobs: new Set([digest]) }
  await assert.rejects(blob.read(0, 10), gone)
})

test('an aborted read ends at once, leaves the target alone, and closes its connection', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { bytesPerSecond: 100_000 } })
  const controller = new AbortController()
  const target = Buffer.alloc(size)
  const reason = new RegistryFsError('TIMEOUT', 'the reader went away')
  let filledBytes = 0
  const reading = blob.readInto(0, target, {
    signal: controller.signal,
    onProgress: (filled) => {
      filledBytes = filled
      controller.abort(reason)
    },
  })
  await assert.rejects(reading, { code: 'TIMEOUT' })
  const before = Buffer.from(target)
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.ok(target.equals(before))
  assert.ok(filledBytes > 0 && filledBytes < size)
  assert.ok((registry.requests[0]?.bytesSent ?? size) < size)
})

test('a read has a deadline however steadily its bytes trickle', async (t) => {
  const { blob } = await setUpBlob(
    t,
    { faults: { bytesPerSecond: 10_000 } },
    { timeouts: { blobReadMs: 50 } },
  )
  await assert.rejects(blob.read(0, size), { code: 'TIMEOUT', message: /took longer than 0.05 s/ })
})

test('a server that answers nothing is tried again and then a timeout', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { latencyMs: 300 } }, { timeouts: { stallMs: 10 } })
  await assert.rejects(blob.read(0, 10), { code: 'TIMEOUT', message: /no byte from .* for 0.01 s/ })
  assert.equal(registry.requests.length, 3)
})

test('a redirect to a server that is not there goes back to the registry', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { redirect: 'https-elsewhere' } })
  await assert.rejects(blob.read(0, 10), { code: 'PROTOCOL', message: /TLS/ })
  registry.faults = {}
  await assertReads(blob, 0, 10)
})

test('never more than eight connections to a host', async (t) => {
  const { registry, blob } = await setUpBlob(t, { faults: { latencyMs: 5 } })
  await assertReads(blob, 0, 1)
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, registry.requests.filter(({ status }) => status === 0).length)
  }, 1)
  await Promise.all(Array.from({ length: 30 }, async (_, index) => assertReads(blob, index * 100, 100)))
  clearInterval(watch)
  assert.ok(most > 1 && most <= 8, String(most))
})
