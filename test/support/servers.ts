import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, request as forward } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort, type DockerRegistry } from './docker-registry.js'
import { listen } from './listen.js'
import { temporaryDirectory } from './temporary-directory.js'

export interface LoggedServer {
  /** `127.0.0.1:<port>`. */
  readonly host: string
  log(): Promise<string>
}

/** Starts a server that stays in the foreground, and waits until it accepts connections. */
async function runServer(
  test: TestContext,
  host: string,
  command: string,
  args: readonly string[],
): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  test.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  const until = performance.now() + 15_000
  for (;;) {
    const [address = '', port = ''] = host.split(':')
    const socket = connect(Number(port), address)
    const isThere = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isThere) return
    if (child.exitCode !== null || performance.now() > until) throw new Error(`${command}: ${said}`)
    await sleep(50)
  }
}

/** Debian's tinyproxy, which wants this user and password. */
export async function tinyproxy(test: TestContext, user: string, password: string): Promise<LoggedServer> {
  const directory = await temporaryDirectory(test)
  const port = await freePort()
  const host = `127.0.0.1:${String(port)}`
  const config = join(directory, 'tinyproxy.conf')
  const logFile = join(directory, 'log')
  await writeFile(
    config,
    `Port ${String(port)}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogFile "${logFile}"\nLogLevel Connect\nBasicAuth ${user} ${password}\n`,
  )
  await runServer(test, host, 'tinyproxy', ['-d', '-c', config])
  return { host, log: async () => readFile(logFile, 'utf8') }
}

const secret = 'of the test'

/**
 * Debian's nginx over the storage of a docker-registry, as a CDN whose URLs are signed (secure_link) and expire. Its log has a
 * line `METHOD STATUS BYTES AUTHORIZATION` for each request.
 */
export async function nginxCdn(
  test: TestContext,
  storage: string,
  bytesPerSecond: number,
): Promise<LoggedServer> {
  const directory = await temporaryDirectory(test)
  const host = `127.0.0.1:${String(await freePort())}`
  const config = join(directory, 'nginx.conf')
  const logFile = join(directory, 'access.log')
  await mkdir(join(directory, 'tmp'))
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(directory, 'tmp')};`)
    .join('\n')
  await writeFile(
    config,
    `daemon off; worker_processes 1; user root; pid ${join(directory, 'pid')}; error_log ${join(directory, 'error.log')};
events {}
http {
  ${temporary}
  log_format short '$request_method $status $body_bytes_sent $http_authorization';
  access_log ${logFile} short;
  server {
    listen ${host};
    location / {
      root ${storage};
      secure_link $arg_md5,$arg_expires;
      secure_link_md5 "$secure_link_expires$uri ${secret}";
      if ($secure_link = "") { return 403; }
      if ($secure_link = "0") { return 410; }
      limit_rate ${String(bytesPerSecond)};
    }
  }
}
`,
  )
  await runServer(test, host, 'nginx', ['-e', join(directory, 'error.log'), '-c', config])
  return { host, log: async () => readFile(logFile, 'utf8') }
}

/** In front of a registry: blobs are redirected to the CDN with URLs that are good for so long, the rest is passed on. */
export async function redirector(
  test: TestContext,
  registry: DockerRegistry,
  cdn: LoggedServer,
  lifetimeSeconds: number,
): Promise<{ readonly host: string; readonly requests: string[] }> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`)
    const hex = /\/blobs\/sha256:([0-9a-f]{64})$/.exec(request.url ?? '')?.[1]
    if (hex !== undefined) {
      const path = `/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`
      const expires = Math.floor(Date.now() / 1000) + lifetimeSeconds
      const md5 = createHash('md5')
        .update(`${String(expires)}${path} ${secret}`)
        .digest('base64url')
      response.writeHead(307, { location: `http://${cdn.host}${path}?md5=${md5}&expires=${String(expires)}` })
      response.end()
      return
    }
    const upstream = forward(`http://${registry.host}${request.url ?? ''}`, {
      method: request.method,
      headers: request.headers,
    })
    upstream.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    upstream.once('error', () => response.writeHead(502).end())
    request.pipe(upstream)
  })
  return { host: `127.0.0.1:${String(await listen(test, server))}`, requests }
}
