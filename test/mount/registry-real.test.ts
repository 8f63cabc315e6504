import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { authority } from '../support/certificates.js'
import { containerdisk, type Containerdisk } from '../support/containerdisk.js'
import { dockerRegistry, slowLink, writeOciLayout, type DockerRegistry } from '../support/docker-registry.js'
import { output, type Mounted } from '../support/mounted.js'
import { mountImages, registryfs, sha256sum, statusOf, type Status } from '../support/registryfs.js'
import { nginxCdn, redirector, tinyproxy } from '../support/servers.js'
import { temporaryDirectory } from '../support/temporary-directory.js'
import { tokenIssuer, tokenServer, tokenService } from '../support/token-server.js'

const options = { timeout: 120_000 }

interface Setup {
  readonly files: string
  readonly cache: string
  readonly registry: DockerRegistry
  readonly disk: Containerdisk
  readonly layerBytes: number
}

/** A plain registry with a containerdisk as `disk:latest`; others may serve its storage too. */
async function setUp(t: TestContext): Promise<Setup> {
  const files = await temporaryDirectory(t)
  const registry = await dockerRegistry(t)
  const disk = await containerdisk('qcow2')
  await writeOciLayout(join(files, 'oci'), 'latest', disk.image)
  await registry.push(join(files, 'oci'), 'disk', 'latest')
  return { files, cache: join(files, 'cache'), registry, disk, layerBytes: disk.image.layers[0]?.size ?? 0 }
}

/** Converts, compares, and counts: one manifest and the layer once, but for what had to be asked for again. */
async function mainJob(t: TestContext, mount: Mounted, { files, disk, layerBytes }: Setup): Promise<Status> {
  const path = join(mount.path, 'd/disk/downloaded')
  const target = join(files, 'out.raw')
  await output('timeout', '60', 'qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, target)
  assert.match(await output('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', disk.raw, target), /identical/)
  assert.equal(await sha256sum(path), await sha256sum(disk.disk))
  const status = await statusOf(mount)
  const { manifestRequests, blobRequests, blobBytes, tokenRequests } = status.requests
  t.diagnostic(
    `${String(manifestRequests)} manifest, ${String(blobRequests)} blob and ${String(tokenRequests)} token requests, ${String(blobBytes)} bytes for a layer of ${String(layerBytes)}`,
  )
  assert.ok(blobBytes >= layerBytes && blobBytes <= 1.1 * layerBytes, `${String(blobBytes)} bytes`)
  return status
}

/** By the log of the registry itself: a manifest is asked for once, no blob by HEAD, and the layer comes once. */
async function assertFrugal(
  t: TestContext,
  read: () => readonly string[],
  layerBytes: number,
): Promise<void> {
  const blobsIn = (log: readonly string[]): readonly string[] =>
    log.filter((line) => /^GET \S+\/blobs\/\S+ 20[06] /.test(line))
  const bytesIn = (log: readonly string[]): number =>
    blobsIn(log).reduce((sum, line) => sum + Number(line.split(' ')[3]), 0)
  // A request is logged after its answer.
  for (let i = 0; i < 200 && bytesIn(read()) < layerBytes; i++) await sleep(50)
  const log = read()
  assert.equal(log.filter((line) => /^GET \S+\/manifests\/\S+ 200 /.test(line)).length, 1, log.join('\n'))
  assert.ok(!log.some((line) => /^HEAD \S+\/blobs\//.test(line)), log.join('\n'))
  const bytes = bytesIn(log)
  t.diagnostic(
    `its log: ${String(log.length)} requests, 1 GET of a manifest, ${String(blobsIn(log).length)} of blobs with ${String(bytes)} bytes`,
  )
  assert.ok(bytes >= layerBytes && bytes <= 1.1 * layerBytes, `${String(bytes)} bytes`)
}

test('a registry with its own JWT check, tokens of 10 s and TLS by our own authority', options, async (t) => {
  const setup = await setUp(t)
  const ca = await authority(t)
  const server = await ca.issue('server', 'IP:127.0.0.1')
  const tokens = await tokenServer(t, ca, 10)
  const secured = await dockerRegistry(t, {
    storage: setup.registry.storage,
    http: `tls: {certificate: ${server.certificate}, key: ${server.key}}`,
    config: `auth: {token: {realm: '${tokens.realm}', service: ${tokenService}, issuer: ${tokenIssuer}, rootcertbundle: ${ca.certificate}}}`,
  })
  const link = await slowLink(t, secured.host, setup.layerBytes / 14)
  // Loopback is plain http unless it is said to be otherwise.
  const hosts = join(setup.files, 'hosts')
  await mkdir(join(hosts, link.host), { recursive: true })
  await writeFile(
    join(hosts, link.host, 'hosts.toml'),
    `server = "https://${link.host}"\nca = "${ca.certificate}"\n`,
  )
  const flags = ['--hosts-dir', hosts]
  const mount = await mountImages(t, { cache: setup.cache, images: [`d=${link.host}/disk`], flags })
  const { requests } = await mainJob(t, mount, setup)
  assert.ok(tokens.issued >= 2, `${String(tokens.issued)} tokens`)
  assert.equal(requests.tokenRequests, tokens.issued)
  await assertFrugal(t, secured.accessLog, setup.layerBytes)
})

test('nginx as the CDN, with signed URLs that expire after 5 s', options, async (t) => {
  const setup = await setUp(t)
  const cdn = await nginxCdn(t, setup.registry.storage, Math.round(setup.layerBytes / 12))
  const front = await redirector(t, setup.registry, cdn, 5)
  const mount = await mountImages(t, { cache: setup.cache, images: [`d=${front.host}/disk`] })
  await mainJob(t, mount, setup)
  const log = (await cdn.log()).trim().split('\n')
  t.diagnostic(`CDN: ${log.map((line) => line.split(' ').slice(0, 2).join(' ')).join(', ')}`)
  assert.ok(
    log.every((line) => /^GET (206|200|410) \d+ -$/.test(line)),
    log.join('\n'),
  )
  const blobs = log.map((line) => `GET /v2/disk/blobs/sha256 ${line.split(' ').slice(1, 3).join(' ')}`)
  await assertFrugal(t, () => [...setup.registry.accessLog(), ...blobs], setup.layerBytes)
  assert.ok(!front.requests.some((line) => line.startsWith('HEAD') && line.includes('/blobs/')))
})

test(
  'a second registry as a pull-through mirror by hosts.toml, its primary out of our reach',
  options,
  async (t) => {
    const setup = await setUp(t)
    const primary = await slowLink(t, setup.registry.host, 100 << 20)
    const mirror = await dockerRegistry(t, { config: `proxy: {remoteurl: 'http://${setup.registry.host}'}` })
    const hosts = join(setup.files, 'hosts')
    await mkdir(join(hosts, primary.host), { recursive: true })
    await writeFile(
      join(hosts, primary.host, 'hosts.toml'),
      `server = "http://${primary.host}"\n[host."http://${mirror.host}"]\ncapabilities = ["pull", "resolve"]\n`,
    )
    const flags = ['--hosts-dir', hosts]
    await primary.stop()
    const mount = await mountImages(t, { cache: setup.cache, images: [`d=${primary.host}/disk`], flags })
    await mainJob(t, mount, setup)
    assert.equal(primary.bytesSent, 0)
    await assertFrugal(t, mirror.accessLog, setup.layerBytes)
  },
)

test('tinyproxy with a password in the way, and TLS through it', options, async (t) => {
  const setup = await setUp(t)
  const ca = await authority(t)
  // Another name of this machine, but none that goes around proxies.
  const server = await ca.issue('server', 'IP:0.0.0.0')
  const secured = await dockerRegistry(t, {
    storage: setup.registry.storage,
    http: `tls: {certificate: ${server.certificate}, key: ${server.key}}`,
  })
  const host = secured.host.replace('127.0.0.1', '0.0.0.0')
  const proxy = await tinyproxy(t, 'user', 'proxypassword')
  const mount = await mountImages(t, {
    cache: setup.cache,
    images: [`d=${host}/disk`],
    flags: ['--ca-file', ca.certificate, '--log-level', 'trace'],
    env: { HTTPS_PROXY: `http://user:proxypassword@${proxy.host}`, NO_PROXY: 'other.test' },
  })
  await mainJob(t, mount, setup)
  await assertFrugal(t, secured.accessLog, setup.layerBytes)
  assert.match(await proxy.log(), new RegExp(`CONNECT ${host.replace(/\./g, '\\.')}`))
  assert.ok(!mount.log().includes('proxypassword'))
  assert.ok(!mount.log().includes(Buffer.from('user:proxypassword').toString('base64')))
})

test('a registry that is killed and started again in the middle of a convert', options, async (t) => {
  const setup = await setUp(t)
  const link = await slowLink(t, setup.registry.host, setup.layerBytes / 8)
  const mount = await mountImages(t, { cache: setup.cache, images: [`d=${link.host}/disk`] })
  const job = mainJob(t, mount, setup)
  while (link.bytesSent < setup.layerBytes / 3) await sleep(50)
  await setup.registry.stop()
  await sleep(1000)
  await setup.registry.restart()
  await job
  assert.ok(link.bytesSent < 1.1 * setup.layerBytes)
  const manifests = setup.registry.accessLog().filter((line) => /^GET \S+\/manifests\//.test(line))
  assert.equal(manifests.length, 1)
})

test('doctor tells what it finds of a real registry, and no secret', options, async (t) => {
  const setup = await setUp(t)
  const ca = await authority(t)
  const tokens = await tokenServer(t, ca, 10)
  const guarded = await dockerRegistry(t, {
    storage: setup.registry.storage,
    config: `auth: {token: {realm: '${tokens.realm}', service: ${tokenService}, issuer: ${tokenIssuer}, rootcertbundle: ${ca.certificate}}}`,
  })
  const cdn = await nginxCdn(t, setup.registry.storage, 100 << 20)
  const front = await redirector(t, guarded, cdn, 5)
  const { cache } = setup
  const { code, stdout, stderr } = await registryfs({ cache }, 'doctor', `${front.host}/disk`, '--json')
  assert.deepEqual([code, stderr], [0, ''])
  const report = JSON.parse(stdout) as {
    healthy: boolean
    findings: { state: string; check: string; message: string }[]
  }
  assert.ok(report.healthy)
  const said = (check: string): string =>
    report.findings
      .filter((each) => each.check === check)
      .map(({ state, message }) => `${state}: ${message}`)
      .join('\n')
  assert.match(said('registry'), /^ok: 127\.0\.0\.1:\d+ answers over http \(401 to \/v2\/\)$/)
  assert.match(said('challenge'), /^ok: tokens of 127\.0\.0\.1:\d+ \(Bearer\)$/)
  assert.match(said('token'), /gives tokens for 10 s/)
  assert.match(said('clock'), /^ok/)
  assert.match(said('tag'), /^ok: HEAD says sha256:/)
  assert.match(said('manifest'), /^ok: GET gives sha256:[0-9a-f]{64}, 1 layers/)
  assert.match(said('range'), /^ok: 1024 bytes .* \(206\)/)
  // Of five seconds, rounded down by then.
  assert.match(said('redirect'), new RegExp(`^ok: 307 to ${cdn.host}, signed, good for [345] s$`))
  assert.match(said('referrers'), /^info/)
  assert.ok(!/md5=|eyJ/.test(stdout), 'a signature or a token')

  const missing = await registryfs({ cache }, 'doctor', `${front.host}/nothing`)
  assert.equal(missing.code, 3)
  assert.match(missing.stdout, /^fail {2}manifest +.*404.*\n +-> check repository, tag/m)
  const down = await registryfs({ cache }, 'doctor', '127.0.0.1:1/disk')
  assert.equal(down.code, 5)
  assert.match(
    down.stdout,
    /^fail {2}registry +127\.0\.0\.1:1: .*refuses connections\n +-> check name, network/m,
  )
})
