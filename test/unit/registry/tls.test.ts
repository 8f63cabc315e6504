import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer as createPlainServer } from 'node:http'
import { createServer, type ServerOptions } from 'node:https'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ProxyRules } from '../../../src/registry/proxy.js'
import { readBody } from '../../../src/registry/read-body.js'
import { TrustStore } from '../../../src/registry/tls/trust-store.js'
import { UndiciTransport } from '../../../src/registry/undici-transport.js'
import { hasCode } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { authority, type Authority, type Certificate } from '../../support/certificates.js'
import { connectProxy } from '../../support/connect-proxy.js'
import { recordingLogger } from '../../support/fake-registry-client.js'
import { listen } from '../../support/listen.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

interface TransportSetup {
  readonly certs?: string
  readonly caFile?: string
  readonly environment?: NodeJS.ProcessEnv
  readonly unverified?: boolean
  /** In place of certs and caFile. */
  readonly trust?: TrustStore
}

/** The port of an https server that says `hello`, on all addresses of this machine. */
async function server(t: TestContext, files: Certificate, more: ServerOptions = {}): Promise<string> {
  const [key, cert] = [await readFile(files.key), await readFile(files.certificate)]
  const made = createServer({ key, cert, ...more }, (_, response) => response.end('hello'))
  made.on('tlsClientError', () => undefined)
  return String(await listen(t, made, '::'))
}

async function get(t: TestContext, url: string, setup: TransportSetup = {}): Promise<string> {
  return getter(t, setup)(url)
}

/** The same connections each time. */
function getter(t: TestContext, setup: TransportSetup): (url: string) => Promise<string> {
  const roots = { caFile: setup.caFile, certificateRoots: [setup.certs ?? '/nowhere'] }
  const transport = new UndiciTransport({
    userAgent: 'registryfs/test',
    isUnverified: () => setup.unverified ?? false,
    trust: setup.trust ?? new TrustStore(roots, silentLogger),
    proxies: new ProxyRules(setup.environment ?? {}),
    socketsPerHost: 2,
    connectTimeoutMs: 5000,
    stallMs: 5000,
    onSent: () => undefined,
  })
  t.after(async () => transport.close())
  return async (url) => {
    const response = await transport.send({
      method: 'GET',
      url: new URL(url),
      headers: {},
      kind: 'manifest',
      what: 'test',
      authorization: undefined,
      signal: new AbortController().signal,
    })
    return (await readBody(response, 100, 'test')).toString()
  }
}

async function plainServer(t: TestContext): Promise<{ port: string; seen: unknown[] }> {
  const seen: unknown[] = []
  const made = createPlainServer((request, response) => {
    seen.push([request.url, request.headers['proxy-authorization']])
    response.end('plain')
  })
  return { port: String(await listen(t, made, '0.0.0.0')), seen }
}

async function localhost(ca: Authority): Promise<Certificate> {
  return ca.issue('server', 'IP:127.0.0.1,IP:::1,IP:0.0.0.0,DNS:localhost')
}

test('an authority counts from --ca-file, and from certs.d for its host alone', async (t) => {
  const ca = await authority(t)
  const port = await server(t, await localhost(ca))
  const url = `https://127.0.0.1:${port}/`
  const certs = await temporaryDirectory(t)
  await mkdir(join(certs, `127.0.0.1:${port}`))
  await copyFile(ca.certificate, join(certs, `127.0.0.1:${port}`, 'mine.crt'))
  assert.equal(await get(t, url, { caFile: ca.certificate }), 'hello')
  assert.equal(await get(t, `https://[::1]:${port}/`, { caFile: ca.certificate }), 'hello')
  assert.equal(await get(t, url, { certs }), 'hello')
  assert.equal(await get(t, url, { unverified: true }), 'hello')
  await assert.rejects(get(t, `https://localhost:${port}/`, { certs }), /authority that is not trusted/)
})

test('a certificate that does not do is refused in words that help', async (t) => {
  const ca = await authority(t)
  const good = await server(t, await localhost(ca))
  const expired = await server(t, await ca.issue('old', 'IP:127.0.0.1', -1))
  const other = await server(t, await ca.issue('other', 'DNS:registry.example'))
  const setup = { caFile: ca.certificate }
  const refused = async (work: Promise<unknown>, words: RegExp): Promise<void> =>
    assert.rejects(work, (error) => hasCode(error, 'PROTOCOL') && words.test(String(error)))
  await refused(get(t, `https://127.0.0.1:${good}/`), /--ca-file.*certs\.d\/127\.0\.0\.1:\d+\/ as ca\.crt/)
  await refused(
    get(t, `https://127.0.0.1:${expired}/`, setup),
    /127\.0\.0\.1:\d+ has expired.*CERT_HAS_EXPIRED/,
  )
  await refused(get(t, `https://127.0.0.1:${other}/`, setup), /for other names.*registry\.example/)
})

test('a client certificate is shown where it is asked for, and its lack is told', async (t) => {
  const ca = await authority(t)
  const mutual = { requestCert: true, rejectUnauthorized: true, ca: await readFile(ca.certificate) }
  const port = await server(t, await localhost(ca), mutual)
  const url = `https://127.0.0.1:${port}/`
  await assert.rejects(get(t, url, { caFile: ca.certificate }), /client certificate|broke off/)
  const certs = await temporaryDirectory(t)
  const directory = join(certs, `127.0.0.1:${port}`)
  await mkdir(directory)
  const client = await ca.issue('client', '')
  await copyFile(client.certificate, join(directory, 'me.cert'))
  await assert.rejects(get(t, url, { certs }), /me\.cert has no key beside it/)
  await copyFile(client.key, join(directory, 'me.key'))
  assert.equal(await get(t, url, { certs, caFile: ca.certificate }), 'hello')
})

test('certificates that change are read again; half of a pair costs nothing but a line in the log', async (t) => {
  const [ca, other] = [await authority(t), await authority(t)]
  const mutual = { requestCert: true, rejectUnauthorized: true, ca: await readFile(ca.certificate) }
  const port = await server(t, await localhost(ca), mutual)
  const certs = await temporaryDirectory(t)
  const directory = join(certs, `127.0.0.1:${port}`)
  await mkdir(directory)
  const [first, second] = [await ca.issue('first', ''), await ca.issue('second', '')]
  await copyFile(ca.certificate, join(directory, 'ca.crt'))
  await copyFile(first.certificate, join(directory, 'me.cert'))
  await copyFile(first.key, join(directory, 'me.key'))
  const logged: string[] = []
  const clock = { ms: 0 }
  const trust = new TrustStore({ certificateRoots: [certs] }, recordingLogger(logged), () => clock.ms)
  const get = getter(t, { trust })
  const reach = async (): Promise<string> => {
    clock.ms += 5_001
    return get(`https://127.0.0.1:${port}/`)
  }
  assert.equal(await reach(), 'hello')
  // The new key comes before its certificate.
  await copyFile(second.key, join(directory, 'me.key'))
  for (let i = 0; i < 3; i++) assert.equal(await reach(), 'hello')
  assert.equal(logged.filter((line) => line.includes('no good: those from before count')).length, 1)
  await copyFile(second.certificate, join(directory, 'me.cert'))
  assert.equal(await reach(), 'hello')
  assert.equal(logged.filter((line) => line.includes('were read again')).length, 1)
  await copyFile(other.certificate, join(directory, 'ca.crt'))
  await assert.rejects(reach(), /authority that is not trusted/)
  await copyFile(ca.certificate, join(directory, 'ca.crt'))
  assert.equal(await reach(), 'hello')
})

test('a file that is no certificate is named', async (t) => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'x.pem')
  await writeFile(file, 'nothing')
  const refusal = (error: unknown): boolean => hasCode(error, 'INVALID') && String(error).includes(file)
  await assert.rejects(get(t, 'https://127.0.0.1:1/', { caFile: file }), refusal)
  await writeFile(file, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  await assert.rejects(get(t, 'https://127.0.0.1:1/', { caFile: file }), refusal)
})

test("https goes through a tunnel, plain http as a whole request, both with the proxy's credentials", async (t) => {
  const ca = await authority(t)
  const port = await server(t, await localhost(ca))
  const proxy = await connectProxy(t, 'user:secret')
  const through = `http://user:secret@${proxy.host}`
  const setup = { caFile: ca.certificate, environment: { HTTPS_PROXY: through, HTTP_PROXY: through } }
  assert.equal(await get(t, `https://0.0.0.0:${port}/a?b`, setup), 'hello')
  const plain = await plainServer(t)
  assert.equal(await get(t, `http://0.0.0.0:${plain.port}/x?y`, setup), 'plain')
  assert.equal(proxy.seen[0], `CONNECT 0.0.0.0:${port}`)
  assert.equal(proxy.seen[1], `GET http://0.0.0.0:${plain.port}/x`)
  assert.deepEqual(plain.seen, [['/x?y', undefined]])

  const wrong = { ...setup, environment: { HTTPS_PROXY: `http://user:other@${proxy.host}` } }
  await assert.rejects(get(t, `https://0.0.0.0:${port}/`, wrong), (error) => {
    assert.ok(hasCode(error, 'DENIED'))
    assert.match(String(error), /the proxy wants a user and a password/)
    return !String(error).includes('other')
  })
  const gone = { ...setup, environment: { HTTPS_PROXY: 'http://127.0.0.1:1' } }
  await assert.rejects(
    get(t, `https://0.0.0.0:${port}/`, gone),
    /127\.0\.0\.1:1 refuses connections \(the proxy\)/,
  )
})
