import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf } from '../../src/util/digest.js'
import { indexOf, type IndexMember, type PackedImage } from './images.js'
import { output } from './mounted.js'
import { temporaryDirectory } from './temporary-directory.js'

/** Debian's docker-registry, with its storage in a temporary directory, until the test ends. */
export interface DockerRegistry {
  /** `127.0.0.1:<port>`. */
  readonly host: string
  /** Where its blobs lie, to be damaged. */
  readonly storage: string
  /** An OCI layout directory, by skopeo. */
  push(ociDirectory: string, repository: string, tag: string): Promise<void>
  /** SIGKILL. */
  stop(): Promise<void>
  /** At the same address, with what it had. */
  restart(): Promise<void>
  /** What registryfs has asked it for so far: `GET /v2/disk/manifests/latest 200 1234`, with the bytes of the body. */
  readonly accessLog: () => readonly string[]
}

export interface DockerRegistryOptions {
  /** More of its config.yml, in YAML. */
  readonly config?: string
  /** More of `http:`, in YAML flow style. */
  readonly http?: string
  /** What it trusts itself, as a client of another registry. */
  readonly caFile?: string
  /** Where its storage lies; a new directory unless told. */
  readonly storage?: string
  /** What it listens on, and what images call it. */
  readonly address?: string
}

const startTimeoutMs = 30_000

export async function dockerRegistry(
  test: TestContext,
  options: DockerRegistryOptions = {},
): Promise<DockerRegistry> {
  const { address = '127.0.0.1', config = '', http = '' } = options
  const directory = await temporaryDirectory(test)
  const storage = options.storage ?? join(directory, 'storage')
  const host = `${address}:${String(await freePort())}`
  await mkdir(storage, { recursive: true })
  await writeFile(
    join(directory, 'config.yml'),
    `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: ${storage}}, delete: {enabled: true}}
http: {addr: '${host}', secret: test${http === '' ? '' : `, ${http}`}}
${config}
`,
  )
  let log = ''
  let accesses = ''
  let child: ChildProcess | undefined
  const start = async (): Promise<void> => {
    const started = spawn('docker-registry', ['serve', join(directory, 'config.yml')], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        ...(options.caFile === undefined ? {} : { SSL_CERT_FILE: options.caFile }),
      },
    })
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text
    })
    started.stdout.setEncoding('utf8').on('data', (text: string) => {
      accesses += text
    })
    child = started
    await answering(host, started, () => log)
  }
  const stop = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  test.after(stop)
  await start()
  return {
    host,
    storage,
    push: async (ociDirectory, repository, tag) => {
      const target = `docker://${host}/${repository}:${tag}`
      await output(
        ...(['skopeo', '--insecure-policy', 'copy', '--all', '--quiet', '--preserve-digests'] as const),
        ...['--dest-tls-verify=false', `oci:${ociDirectory}:${tag}`, target],
      )
    },
    stop,
    restart: start,
    // Apache's combined format.
    accessLog: () =>
      [...accesses.matchAll(/"([A-Z]+ \S+) HTTP\/[\d.]+" (\d+) (\d+) "[^"]*" "registryfs\/[^"]*"/g)].map(
        ([, asked = '', status = '', bytes = '']) => `${asked} ${status} ${bytes}`,
      ),
  }
}

/** Also as umoci and skopeo read it. With several images their index is what the tag names. */
export async function writeOciLayout(
  directory: string,
  tag: string,
  image: PackedImage | readonly (IndexMember & { readonly image: PackedImage })[],
): Promise<void> {
  const members = 'blobs' in image ? [{ image }] : image
  const blobs = join(directory, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const save = async (digest: string, bytes: Buffer): Promise<void> =>
    writeFile(join(blobs, digest.replace('sha256:', '')), bytes)
  for (const { image: each } of members) {
    await save(each.digest, each.manifest)
    await save(each.config.digest, each.blobs[0] as Buffer)
    for (const [i, { digest }] of each.layers.entries()) await save(digest, each.blobs[i + 1] as Buffer)
  }
  const top = 'blobs' in image ? { bytes: image.manifest, mediaType: image.mediaType } : indexOf(members)
  const whole = indexOf([
    {
      image: { digest: digestOf(top.bytes), mediaType: top.mediaType, manifest: top.bytes },
      annotations: { 'org.opencontainers.image.ref.name': tag },
    },
  ])
  await save(digestOf(top.bytes), top.bytes)
  await writeFile(join(directory, 'index.json'), whole.bytes)
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

export interface SlowLink {
  readonly host: string
  /** Of both directions together, all that was let through towards the client. */
  readonly bytesSent: number
  bytesPerSecond: number
  stop(): Promise<void>
}

/** A TCP relay in front of a registry, which lets only so many bytes a second through to the client, all connections together. */
export async function slowLink(test: TestContext, target: string, bytesPerSecond: number): Promise<SlowLink> {
  const [host = '', port = ''] = target.split(':')
  const sockets = new Set<Socket>()
  const link = { host: '', bytesSent: 0, bytesPerSecond, stop: async () => stopServer(server, sockets) }
  let freeAt = performance.now()
  const pass = async (from: Socket, to: Socket): Promise<void> => {
    for await (const piece of from as AsyncIterable<Buffer>) {
      freeAt = Math.max(freeAt, performance.now()) + (piece.length / link.bytesPerSecond) * 1000
      link.bytesSent += piece.length
      await sleep(Math.max(0, freeAt - performance.now()))
      if (to.destroyed) return
      to.write(piece)
    }
    to.end()
  }
  const server = createServer((client) => {
    const upstream = connect(Number(port), host)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.once('error', () => undefined)
      socket.once('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream)
    pass(upstream, client).catch(() => undefined)
  })
  test.after(async () => link.stop())
  link.host = await listen(server)
  return link
}

async function stopServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  for (const socket of sockets) socket.destroy()
  await closed
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`
}

/**
 * Below those that the kernel gives to connections (net.ipv4.ip_local_port_range): until its server listens nobody else
 * comes to have it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    const isFree = new Promise<boolean>((resolve) => {
      server.once('listening', () => {
        resolve(true)
      })
      server.once('error', () => {
        resolve(false)
      })
    })
    server.listen(port, '127.0.0.1')
    if (!(await isFree)) continue
    await stopServer(server, new Set())
    return port
  }
}

async function accepts(host: string): Promise<boolean> {
  const [address = '', port = ''] = host.split(':')
  const socket = connect(Number(port), address)
  return new Promise((resolve) => {
    socket.once('connect', () => {
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  }).finally(() => socket.destroy()) as Promise<boolean>
}

async function answering(host: string, child: ChildProcess, log: () => string): Promise<void> {
  const until = performance.now() + startTimeoutMs
  for (;;) {
    if (await accepts(host)) return
    if (child.exitCode !== null || performance.now() > until)
      throw new Error(`docker-registry does not answer at ${host}\n${log()}`)
    await sleep(50)
  }
}
