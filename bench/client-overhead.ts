/**
 * `node build/bench/client-overhead.js [ROUNDS=8]`: what a range of 4 MiB costs through the whole client (redirect, auth,
 * retry, limits, checks) beside undici alone, from the same server on loopback, which is a process of its own. Prints a
 * line, and fails above the 15 % that are allowed.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Agent, request } from 'undici'
import { hostPlatform } from '../src/registry/platform.js'
import { RegistryClient } from '../src/registry/registry-client.js'
import { digestOf } from '../src/util/digest.js'
import { silentLogger } from '../src/util/log.js'
import { median } from './statistics.js'

const rangeBytes = 4 << 20
const blobBytes = 64 << 20
const requestsPerRound = 64
const allowed = 1.15

interface Cost {
  readonly seconds: number
  readonly cpuSeconds: number
}

type Fetch = (offset: number, target: Buffer) => Promise<void>

/** Answers every range of one blob, whatever its path; tells its port and digest. */
function serve(): void {
  const blob = Buffer.alloc(blobBytes, 'registryfs')
  const server = createServer(({ headers }, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
    const part = blob.subarray(Number(first), Number(last) + 1)
    response.writeHead(206, {
      'content-length': part.length,
      'content-range': `bytes ${String(first)}-${String(last)}/${String(blobBytes)}`,
    })
    response.end(part)
  })
  server.listen(0, '127.0.0.1', () => {
    process.send?.({ port: (server.address() as AddressInfo).port, digest: digestOf(blob) })
  })
  process.once('disconnect', () => process.exit())
}

async function startServer(): Promise<{ child: ChildProcess; origin: string; digest: string }> {
  const child = fork(fileURLToPath(import.meta.url), ['serve'])
  const { port, digest } = await new Promise<{ port: number; digest: string }>((resolve, reject) => {
    child.once('message', (message) => {
      resolve(message as { port: number; digest: string })
    })
    child.once('exit', () => {
      reject(new Error('the server ended'))
    })
  })
  return { child, origin: `127.0.0.1:${String(port)}`, digest }
}

async function measure(fetch: Fetch, target: Buffer): Promise<Cost> {
  const cpu = process.cpuUsage()
  const started = performance.now()
  for (let i = 0; i < requestsPerRound; i++) await fetch((i * rangeBytes) % blobBytes, target)
  const { user, system } = process.cpuUsage(cpu)
  return { seconds: (performance.now() - started) / 1000, cpuSeconds: (user + system) / 1e6 }
}

async function bench(rounds: number): Promise<void> {
  const { child, origin, digest } = await startServer()
  const agent = new Agent({ connections: 8 })
  const client = new RegistryClient({
    documents: { load: async () => Promise.resolve(undefined), save: async () => Promise.resolve() },
    log: silentLogger,
    platform: hostPlatform(),
  })
  try {
    const descriptor = { mediaType: 'x', digest: digest as never, size: blobBytes, annotations: {} }
    const blob = client.openBlob({ host: origin, path: 'bench' }, descriptor)
    const bare: Fetch = async (offset, target) => {
      const { body } = await request(`http://${origin}/v2/bench/blobs/${digest}`, {
        dispatcher: agent,
        headers: { range: `bytes=${String(offset)}-${String(offset + target.length - 1)}` },
      })
      let filled = 0
      for await (const chunk of body) filled += (chunk as Buffer).copy(target, filled)
      if (filled !== target.length) throw new Error('a short body')
    }
    const ours: Fetch = async (offset, target) => blob.readInto(offset, target)
    const target = Buffer.alloc(rangeBytes)
    const costs = { bare: [] as Cost[], ours: [] as Cost[] }
    await measure(bare, target)
    await measure(ours, target)
    for (let round = 0; round < rounds; round++) {
      // By turns, and the first of two by turns: the machine is not the same all the time.
      for (const name of round % 2 === 0 ? (['bare', 'ours'] as const) : (['ours', 'bare'] as const))
        costs[name].push(await measure(name === 'bare' ? bare : ours, target))
    }
    const ms = (list: readonly Cost[], of: keyof Cost): number =>
      (median(list.map((cost) => cost[of])) * 1000) / requestsPerRound
    const text = (of: keyof Cost): string =>
      `undici ${ms(costs.bare, of).toFixed(2)} ms, registryfs ${ms(costs.ours, of).toFixed(2)} ms, x ${(ms(costs.ours, of) / ms(costs.bare, of)).toFixed(2)}`
    process.stdout.write(`range of 4 MiB: ${text('seconds')}; processor: ${text('cpuSeconds')}\n`)
    if (ms(costs.ours, 'seconds') > allowed * ms(costs.bare, 'seconds')) process.exitCode = 1
  } finally {
    await Promise.all([client.close(), agent.close()])
    child.disconnect()
  }
}

if (process.argv[2] === 'serve') serve()
else await bench(Number(process.argv[2] ?? 8))
