import { once } from 'node:events'
import { createServer, request as forward } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

export interface ConnectProxy {
  /** `127.0.0.1:<port>`. */
  readonly host: string
  /** `CONNECT 0.0.0.0:443`, `GET http://...` without query, as they came. */
  readonly seen: string[]
  /** Of each request. */
  readonly authorizations: (string | undefined)[]
}

/** An HTTP proxy in the test's own process. With `login` it wants `Basic` of that. */
export async function connectProxy(test: TestContext, login?: string): Promise<ConnectProxy> {
  const seen: string[] = []
  const authorizations: (string | undefined)[] = []
  const sockets = new Set<Socket>()
  const isAllowed = (given: string | undefined): boolean =>
    login === undefined || given === `Basic ${Buffer.from(login).toString('base64')}`
  const server = createServer((request, response) => {
    const given = request.headers['proxy-authorization']
    seen.push(`${request.method ?? ''} ${request.url?.split('?')[0] ?? ''}`)
    authorizations.push(given)
    if (!isAllowed(given)) {
      response.writeHead(407).end()
      return
    }
    const headers = { ...request.headers }
    delete headers['proxy-authorization']
    const upstream = forward(request.url ?? '', { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    upstream.once('error', () => response.writeHead(502).end())
    request.pipe(upstream)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
  })
  server.on('connect', (request, client: Socket, head) => {
    const given = request.headers['proxy-authorization']
    seen.push(`CONNECT ${request.url ?? ''}`)
    authorizations.push(given)
    client.on('error', () => undefined)
    if (!isAllowed(given)) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const target = new URL(`http://${request.url ?? ''}`)
    const upstream = connect(Number(target.port || 80), target.hostname.replace(/^\[(.*)\]$/, '$1'), () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.write(head)
      upstream.pipe(client)
      client.pipe(upstream)
    })
    sockets.add(upstream)
    upstream.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  test.after(async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
  return { host: `127.0.0.1:${String((server.address() as AddressInfo).port)}`, seen, authorizations }
}
