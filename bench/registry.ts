import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run, type CommandOptions } from './command.js'
import type { Fixture } from './fixtures.js'
import type { Layer } from './layer.js'

const startTimeoutMs = 20_000
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** What a registry's access log says of some time. */
export interface Traffic {
  readonly requests: number
  /** Bodies of layers that were sent. */
  readonly blobBytes: number
}

/** Debian's docker-registry on loopback, with its storage and log in a directory of its own. */
export class LocalRegistry {
  readonly host: string
  readonly #child: ChildProcess
  readonly #logFile: string

  private constructor(host: string, child: ChildProcess, logFile: string) {
    this.host = host
    this.#child = child
    this.#logFile = logFile
  }

  static async start(work: string): Promise<LocalRegistry> {
    const directory = join(work, 'registry')
    await mkdir(directory, { recursive: true })
    const host = `127.0.0.1:${String(await freePort())}`
    const configFile = join(directory, 'config.yml')
    const config = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: false } },
      storage: { filesystem: { rootdirectory: join(directory, 'storage') } },
      http: { addr: host },
    }
    // JSON is YAML.
    await writeFile(configFile, JSON.stringify(config))
    const logFile = join(directory, 'access.log')
    const log = openSync(logFile, 'w')
    const child = spawn('docker-registry', ['serve', configFile], { stdio: ['ignore', log, log] })
    closeSync(log)
    child.once('error', () => undefined)
    const registry = new LocalRegistry(host, child, logFile)
    try {
      await registry.#answers()
    } catch (error) {
      await registry.stop()
      throw error
    }
    return registry
  }

  reference(name: string): string {
    return `${this.host}/bench/${name}:latest`
  }

  blobUrl({ format, layerDigest }: Fixture): string {
    return `http://${this.host}/v2/bench/${format}/blobs/${layerDigest}`
  }

  /** Makes sure that the image is there, with exactly that layer. */
  async serve(name: string, layer: Layer, work: string, options: CommandOptions): Promise<void> {
    const digest = await this.#push(name, layer, join(work, `oci-${name}`), options)
    const response = await this.#manifest(name)
    const served = `sha256:${sha256(Buffer.from(await response.arrayBuffer()))}`
    if (served !== digest) throw new Error(`the registry has ${served} for ${digest}`)
  }

  /** Of everything that `work` made the registry do, as its access log tells. */
  async trafficOf(work: () => Promise<void>): Promise<Traffic> {
    const before = (await readFile(this.#logFile)).length
    await work()
    // A request is logged when it is over.
    await sleep(100)
    const text = (await readFile(this.#logFile)).subarray(before).toString()
    let requests = 0
    let blobBytes = 0
    for (const [, path, bytes] of text.matchAll(/"[A-Z]+ (\/\S*) HTTP\/[\d.]+" \d{3} (\d+)/g)) {
      requests++
      if (path?.includes('/blobs/') === true) blobBytes += Number(bytes)
    }
    return { requests, blobBytes }
  }

  async stop(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  async #answers(): Promise<void> {
    const until = Date.now() + startTimeoutMs
    while (Date.now() < until && this.#child.exitCode === null && this.#child.pid !== undefined) {
      const response = await fetch(`http://${this.host}/v2/`).catch(() => undefined)
      if (response?.ok === true) return
      await sleep(50)
    }
    throw new Error(`docker-registry did not start:\n${await readFile(this.#logFile, 'utf8')}`)
  }

  async #manifest(name: string): Promise<Response> {
    return fetch(`http://${this.host}/v2/bench/${name}/manifests/latest`, {
      headers: { accept: manifestType },
    })
  }

  /** skopeo sends the layer's bytes as they are: the manifest keeps its digest, which is what this resolves to. */
  async #push(name: string, layer: Layer, layout: string, options: CommandOptions): Promise<string> {
    const config = Buffer.from(
      JSON.stringify({
        architecture: process.arch === 'x64' ? 'amd64' : process.arch,
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [layer.diffId] },
        history: [{ created_by: `bench: ADD ${name}` }],
      }),
    )
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: manifestType,
        config: describe('application/vnd.oci.image.config.v1+json', config),
        layers: [
          {
            mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
            digest: layer.digest,
            size: layer.bytes,
          },
        ],
      }),
    )
    const index = {
      schemaVersion: 2,
      manifests: [
        {
          ...describe(manifestType, manifest),
          annotations: { 'org.opencontainers.image.ref.name': 'latest' },
        },
      ],
    }
    const digest = `sha256:${sha256(manifest)}`
    if ((await this.#manifest(name)).headers.get('docker-content-digest') === digest) return digest
    const blobs = join(layout, 'blobs/sha256')
    await rm(layout, { recursive: true, force: true })
    await mkdir(blobs, { recursive: true })
    await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    await writeFile(join(layout, 'index.json'), JSON.stringify(index))
    await writeFile(join(blobs, sha256(config)), config)
    await writeFile(join(blobs, sha256(manifest)), manifest)
    await link(layer.path, join(blobs, layer.digest.replace('sha256:', '')))
    await run(
      [
        ...['skopeo', 'copy', '--quiet', '--insecure-policy', '--dest-tls-verify=false'],
        ...[`oci:${layout}:latest`, `docker://${this.reference(name)}`],
      ],
      options,
    )
    await rm(layout, { recursive: true })
    return digest
  }
}

function describe(mediaType: string, bytes: Buffer): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
