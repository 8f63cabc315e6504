import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer as createPlainServer } from 'node:http'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { parseReference } from '../../../src/registry/reference.js'
import { authority } from '../../support/certificates.js'
import { setUp } from '../../support/fake-registry-client.js'
import type { FakeRegistryOptions } from '../../support/fake-registry.js'
import { listen } from '../../support/listen.js'

interface Secured {
  readonly options: FakeRegistryOptions
  readonly caFile: string
}

async function secured(t: TestContext, names = 'IP:127.0.0.1'): Promise<Secured> {
  const ca = await authority(t)
  const { key, certificate } = await ca.issue('server', names)
  const tls = { key: await readFile(key), cert: await readFile(certificate) }
  return { options: { tls }, caFile: ca.certificate }
}

/** In front of a TLS server as Go's and nginx's are: who speaks HTTP to it is told so with 400. */
async function told400(t: TestContext, host: string): Promise<string> {
  const plain = createPlainServer((_request, response) => {
    response.writeHead(400).end('Client sent an HTTP request to an HTTPS server.\n')
  })
  const plainHost = await listen(t, plain)
  const front = createServer((socket: Socket) => {
    socket.once('data', (first: Buffer) => {
      const port = Number(first[0] === 0x16 ? host.split(':').at(-1) : plainHost)
      const behind = connect(port, '127.0.0.1')
      behind.write(first)
      socket.pipe(behind).pipe(socket)
      for (const one of [socket, behind]) one.on('error', () => undefined)
    })
    socket.on('error', () => undefined)
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  t.after(() => front.close())
  return `127.0.0.1:${String((front.address() as AddressInfo).port)}`
}

test('a registry on this machine that speaks TLS is asked so, and its certificate is verified', async (t) => {
  const { options, caFile } = await secured(t)
  const { registry, client } = await setUp(t, options, { trust: { caFile } })
  registry.addImage('a', '1', { layers: [] })
  for (const host of [registry.host, await told400(t, registry.host)]) {
    const manifest = await client.fetchManifest(parseReference(`${host}/a:1`))
    assert.equal(manifest.layers.length, 0)
  }
})

test('what is wrong with a certificate on this machine is said as of any host', async (t) => {
  for (const { names, says, trusts } of [
    {
      names: 'IP:127.0.0.1',
      trusts: false,
      says: /signed by an authority that is not trusted here: .*--ca-file/,
    },
    {
      names: 'DNS:other.example',
      trusts: true,
      says: /the certificate of 127\.0\.0\.1:\d+ is for other names/,
    },
  ]) {
    const { options, caFile } = await secured(t, names)
    const { registry, client } = await setUp(t, options, trusts ? { trust: { caFile } } : {})
    for (const host of [registry.host, await told400(t, registry.host)]) {
      await assert.rejects(client.fetchManifest(parseReference(`${host}/a:1`)), {
        code: 'PROTOCOL',
        message: says,
      })
    }
  }
})

test('a registry on this machine that speaks no TLS keeps its own errors', async (t) => {
  const { registry, client, reference } = await setUp(t)
  registry.addImage('a', '1', { layers: [] })
  registry.faults = { failing: { kind: 'manifest', status: 400, times: 1 } }
  await assert.rejects(client.fetchManifest(reference('a:1')), { message: /: 400/ })
  registry.faults = {}
  assert.equal((await client.fetchManifest(reference('a:1'))).layers.length, 0)
})
