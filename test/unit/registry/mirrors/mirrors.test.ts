import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { digestOf, type Digest } from '../../../../src/util/digest.js'
import { MirrorConfig } from '../../../../src/registry/mirrors/mirror-config.js'
import { parseRegistriesConf } from '../../../../src/registry/mirrors/registries-conf.js'
import { parseToml } from '../../../../src/registry/mirrors/toml-file.js'
import { parsePlatform } from '../../../../src/registry/platform.js'
import { RegistryClient } from '../../../../src/registry/registry-client.js'
import { parseReference, type Reference } from '../../../../src/registry/reference.js'
import { hasCode } from '../../../../src/util/errors.js'
import { memoryDocuments, recordingLogger } from '../../../support/fake-registry-client.js'
import { FakeRegistry, type FakeRegistryOptions } from '../../../support/fake-registry.js'
import { sampleData } from '../../../support/sample-data.js'
import { temporaryDirectory } from '../../../support/temporary-directory.js'

const blobBytes = sampleData('random', 3 << 20)

interface MirrorSetup {
  readonly mirror: FakeRegistry
  readonly primary: FakeRegistry
  readonly client: RegistryClient
  readonly logged: string[]
  readonly digest: Digest
  readonly read: (offset?: number, length?: number) => Promise<Buffer>
  readonly pull: () => Promise<Digest>
}

async function start(t: TestContext, options?: FakeRegistryOptions): Promise<FakeRegistry> {
  const registry = await FakeRegistry.start(options)
  t.after(async () => registry.stop())
  return registry
}

/** Both have the same image `a:1` and the same blob; the mirror has it as `cache/a`. */
async function setUp(
  t: TestContext,
  configure: (mirror: FakeRegistry, primary: FakeRegistry) => Promise<MirrorConfig> | MirrorConfig,
  primaryOptions?: FakeRegistryOptions,
): Promise<MirrorSetup> {
  const mirror = await start(t)
  const primary = await start(t, primaryOptions)
  const logged: string[] = []
  const client = new RegistryClient({
    documents: memoryDocuments(),
    log: recordingLogger(logged),
    platform: parsePlatform('linux/amd64'),
    mirrors: await configure(mirror, primary),
    retry: { attempts: 2, baseMs: 1, maxMs: 2 },
  })
  t.after(async () => client.close())
  mirror.addImage('cache/a', '1', { layers: [] })
  mirror.addImage('a', '1', { layers: [] })
  const { digest } = primary.addImage('a', '1', { layers: [] })
  const blobDigest = primary.addBlob(blobBytes)
  mirror.addBlob(blobBytes)
  const descriptor = { mediaType: 'x', digest: blobDigest, size: blobBytes.length, annotations: {} }
  const blob = client.openBlob({ host: primary.host, path: 'a' }, descriptor)
  return {
    mirror,
    primary,
    client,
    logged,
    digest,
    read: async (offset = 0, length = blobBytes.length) => blob.read(offset, length),
    pull: async () => (await client.fetchManifest(parseReference(`${primary.host}/a:1`))).digest,
  }
}

function podman(more = ''): (mirror: FakeRegistry, primary: FakeRegistry) => MirrorConfig {
  return (mirror, primary) => {
    const text = `[[registry]]\nlocation = "${primary.host}"\n[[registry.mirror]]\nlocation = "${mirror.host}/cache"\n${more}`
    return new MirrorConfig(parseRegistriesConf(parseToml(text, 'r.conf')), undefined)
  }
}

function containerd(
  t: TestContext,
  more = '',
): (mirror: FakeRegistry, primary: FakeRegistry) => Promise<MirrorConfig> {
  return async (mirror, primary) => {
    const directory = await temporaryDirectory(t)
    await mkdir(join(directory, primary.host))
    await writeFile(join(directory, primary.host, 'hosts.toml'), `[host."http://${mirror.host}"]\n${more}`)
    return new MirrorConfig([], directory)
  }
}

test('a mirror is asked first, under its own name, and the primary not at all', async (t) => {
  const { mirror, primary, pull, read, digest } = await setUp(t, podman())
  assert.equal(await pull(), digest)
  assert.ok((await read()).equals(blobBytes))
  assert.deepEqual(
    mirror.requests.map(({ path }) => path.replace(/sha256:.*/, '…')),
    ['/v2/cache/a/manifests/1', '/v2/cache/a/blobs/…'],
  )
  assert.deepEqual(primary.trace, [])
})

test('a mirror of containerd is told which registry it stands for, and gets its headers', async (t) => {
  const header = '[host."http://HOST".header]\nx-team = "disks"'
  const { mirror, primary, pull, read } = await setUp(t, async (mirror, primary) =>
    containerd(t, header.replace('HOST', mirror.host))(mirror, primary),
  )
  await pull()
  await read(0, 10)
  assert.deepEqual(
    mirror.requests.map(({ query }) => query),
    Array(2).fill(`?ns=${encodeURIComponent(primary.host)}`),
  )
  assert.deepEqual(primary.trace, [])
})

test('a mirror that wants to know for whom has all for containerd and nothing for podman', async (t) => {
  const known = await setUp(t, containerd(t))
  known.mirror.faults = { namespace: known.primary.host }
  assert.equal(await known.pull(), known.digest)
  assert.ok((await known.read(0, 10)).equals(blobBytes.subarray(0, 10)))
  assert.deepEqual(known.primary.trace, [])
  const unknown = await setUp(t, podman())
  unknown.mirror.faults = { namespace: unknown.primary.host }
  assert.equal(await unknown.pull(), unknown.digest)
  assert.deepEqual(unknown.mirror.trace, ['GET manifest 404'])
  assert.deepEqual(unknown.primary.trace, ['GET manifest 200'])
})

test('a mirror that may not resolve is asked for digests alone', async (t) => {
  const { mirror, primary, client, pull, read, digest } = await setUp(
    t,
    containerd(t, 'capabilities = ["pull"]'),
  )
  await pull()
  assert.equal(await client.resolveTag(parseReference(`${primary.host}/a:1`)), digest)
  assert.deepEqual(mirror.trace, [])
  assert.deepEqual(primary.trace, ['GET manifest 200', 'HEAD manifest 200'])
  await read(0, 10)
  assert.deepEqual(mirror.trace, ['GET blob 206'])
})

for (const pulls of ['tag-only', 'digest-only'] as const) {
  test(`a ${pulls} mirror of podman has all of an image that is named so, and nothing of others`, async (t) => {
    const configure = podman(`pull-from-mirror = "${pulls}"`)
    const { mirror, primary, digest } = await setUp(t, configure)
    const client = new RegistryClient({
      // Remembers nothing.
      documents: { load: async () => Promise.resolve(undefined), save: async () => Promise.resolve() },
      log: recordingLogger([]),
      platform: parsePlatform('linux/amd64'),
      mirrors: configure(mirror, primary),
    })
    t.after(async () => client.close())
    const use = async (reference: Reference): Promise<void> => {
      assert.equal(await client.resolveTag(reference), digest)
      await client.fetchManifest(reference)
      // As it is asked for once HEAD has said what a tag is.
      await client.fetchManifest({ ...reference, digest })
      const blob = { mediaType: 'x', digest: digestOf(blobBytes), size: blobBytes.length, annotations: {} }
      await client.openBlob(reference, blob).read(0, 10)
    }
    const byTag = parseReference(`${primary.host}/a:1`)
    const byDigest = parseReference(`${primary.host}/a@${digest}`)
    await use(pulls === 'tag-only' ? byDigest : byTag)
    assert.deepEqual(mirror.trace, [])
    primary.forgetRequests()
    await use(pulls === 'tag-only' ? byTag : byDigest)
    assert.deepEqual(primary.trace, [])
    assert.deepEqual(mirror.trace.slice(-3), ['GET manifest 200', 'GET manifest 200', 'GET blob 206'])
  })
}

test('tags and catalogs are those of the primary, which may have moved', async (t) => {
  const { mirror, primary, client } = await setUp(t, podman())
  mirror.addImage('cache/a', 'mirrored', { layers: [] })
  assert.deepEqual(await client.listTags({ host: primary.host, path: 'a' }), ['1'])
  assert.deepEqual(await client.listRepositories(primary.host), ['a'])
  assert.deepEqual(mirror.trace, [])
  const text = `[[registry]]\nprefix = "old.test"\nlocation = "${primary.host}"\n`
  const moved = new RegistryClient({
    documents: memoryDocuments(),
    log: recordingLogger([]),
    platform: parsePlatform('linux/amd64'),
    mirrors: new MirrorConfig(parseRegistriesConf(parseToml(text, 'r.conf')), undefined),
  })
  t.after(async () => moved.close())
  assert.deepEqual(await moved.listTags({ host: 'old.test', path: 'a' }), ['1'])
  assert.deepEqual(await moved.listRepositories('old.test'), ['a'])
})

test('what a mirror does not have the primary is asked for', async (t) => {
  const { mirror, primary, client, pull, read, digest, logged } = await setUp(t, podman())
  mirror.deleteTag('cache/a', '1')
  mirror.faults = { missingBlobs: new Set([...primary.tokens.values]) }
  assert.equal(await client.resolveTag(parseReference(`${primary.host}/a:1`)), digest)
  assert.equal(await pull(), digest)
  assert.equal(await client.resolveTag(parseReference(`${primary.host}/a:no`)), undefined)
  assert.ok((await read()).equals(blobBytes))
  assert.deepEqual(primary.trace, ['HEAD manifest 200', 'GET manifest 200', 'HEAD manifest 404'])
  assert.ok(!logged.some((line) => line.includes('set aside')))
})

test('a mirror that fails is asked once, set aside, and asked again when the primary is gone', async (t) => {
  const { mirror, primary, pull, read, digest, logged } = await setUp(t, podman())
  mirror.faults = { failing: { kind: 'any', status: 503, times: 1 } }
  assert.equal(await pull(), digest)
  assert.ok((await read(5, 100)).equals(blobBytes.subarray(5, 105)))
  assert.deepEqual(mirror.trace, ['GET manifest 503'])
  assert.deepEqual(primary.trace, ['GET manifest 200', 'GET blob 206'])
  assert.equal(logged.filter((line) => line.includes('set aside')).length, 1)
  await primary.stop()
  assert.ok((await read(9, 50)).equals(blobBytes.subarray(9, 59)))
  assert.deepEqual(mirror.trace, ['GET manifest 503', 'GET blob 206'])
})

test('where a mirror breaks off the primary goes on at that byte', async (t) => {
  const { mirror, primary, read } = await setUp(t, podman())
  mirror.faults = { resetAfter: { bytes: 100_000, times: 1 }, missingBlobs: new Set() }
  const reset = read()
  await new Promise((resolve) => setTimeout(resolve, 1))
  assert.ok((await reset).equals(blobBytes))
  mirror.faults = { resetAfter: { bytes: 10, times: 99 } }
  assert.ok((await read()).equals(blobBytes))
  const range = primary.requests.at(-1)?.range ?? ''
  assert.match(range, /^bytes=\d+-3145727$/)
  assert.notEqual(range, 'bytes=0-3145727')
})

test('a manifest with other bytes than its digest is had elsewhere', async (t) => {
  const { mirror, primary, pull, digest, logged } = await setUp(t, podman())
  mirror.faults = { corruptManifests: true }
  assert.equal(await pull(), digest)
  assert.deepEqual(primary.trace, ['GET manifest 200'])
  assert.ok(logged.some((line) => line.includes('set aside')))
})

test('a mirror whose bytes were wrong is not asked for that blob again', async (t) => {
  const { mirror, primary, client, read } = await setUp(t, podman())
  mirror.faults = { corruptBlobs: true }
  const descriptor = {
    mediaType: 'x',
    digest: primary.addBlob(blobBytes),
    size: blobBytes.length,
    annotations: {},
  }
  const blob = client.openBlob({ host: primary.host, path: 'a' }, descriptor)
  assert.ok(!(await blob.read(0, blobBytes.length)).equals(blobBytes))
  assert.equal(blob.distrust?.(0, blobBytes.length), true)
  assert.ok((await blob.read(0, blobBytes.length)).equals(blobBytes))
  assert.equal(blob.distrust(0, blobBytes.length), false, 'nobody but the primary is left')
  assert.equal(primary.trace.length, 1)
  assert.ok((await read(0, 10)).equals(blobBytes.subarray(0, 10)))
})

test('no credential of the primary goes to a mirror', async (t) => {
  const { mirror, primary, pull, read, client } = await setUp(t, podman(), { auth: {} })
  mirror.deleteTag('cache/a', '1')
  await pull()
  assert.ok(primary.requests.some(({ authorized }) => authorized))
  await client.resolveTag(parseReference(`${primary.host}/a:1`))
  await read(0, 10)
  assert.ok(mirror.requests.length >= 3)
  assert.ok(mirror.requests.every(({ authorized }) => !authorized))
})

test('what is blocked is refused without a request', async (t) => {
  const primary = await start(t)
  const text = `[[registry]]\nlocation = "${primary.host}"\nblocked = true\n`
  const client = new RegistryClient({
    documents: memoryDocuments(),
    log: recordingLogger([]),
    platform: parsePlatform('linux/amd64'),
    mirrors: new MirrorConfig(parseRegistriesConf(parseToml(text, 'r.conf')), undefined),
  })
  t.after(async () => client.close())
  const refused = client.fetchManifest(parseReference(`${primary.host}/a:1`))
  await assert.rejects(refused, (error) => hasCode(error, 'DENIED'))
  assert.deepEqual(primary.trace, [])
})
