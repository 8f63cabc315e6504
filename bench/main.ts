/**
 * `make bench [RUNS=3]`: two containerdisks in a docker-registry on loopback, converted to raw disks by registryfs and by
 * what people use without it. Prints a Markdown table and leaves bench/.work/results.json; when a step fails there are
 * no results. See ways.ts for who takes part, targets.ts for what is wanted.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { packageRoot } from '../src/util/package-root.js'
import { inflateSeconds, type InflateSeconds } from './bare-inflate.js'
import { measureBindings } from './bindings.js'
import { run } from './command.js'
import { measureFirstBytes } from './first-byte.js'
import {
  diskFormats,
  layerOfFixture,
  makeFixtures,
  type DiskFormat,
  type Fixture,
  type Fixtures,
} from './fixtures.js'
import { indexBytesIn } from './index-bytes.js'
import { dropKernelCaches } from './kernel-caches.js'
import type { Layer } from './layer.js'
import { compileLibdeflate, type LibdeflateSeconds } from './libdeflate.js'
import type { Attempt, ImageMeasurements, Measurements, UsrMeasurements } from './measurements.js'
import { measureRandomReads } from './random-reads.js'
import { indexSeconds } from './registryfs.js'
import { LocalRegistry, type Traffic } from './registry.js'
import { reportOf } from './report.js'
import { makeUsr } from './usr.js'
import { ways, type Place, type Timing, type Way } from './ways.js'

const work = join(packageRoot, 'bench/.work')
const resultsFile = join(work, 'results.json')
const interruptedExit = 130

async function bench(runs: number, signal: AbortSignal): Promise<Measurements> {
  const options = { signal }
  await mkdir(work, { recursive: true })
  await rm(resultsFile, { force: true })
  const fixtures = await makeFixtures(work, options)
  const usr = await makeUsr(work, options)
  const libdeflate = await compileLibdeflate(work, options)
  const registry = await LocalRegistry.start(work)
  try {
    for (const format of diskFormats)
      await registry.serve(format, layerOfFixture(fixtures.images[format]), work, options)
    await registry.serve('usr', usr, work, options)
    const bencher = new Bencher(fixtures, registry, libdeflate, signal)
    for (let count = 1; count <= runs; count++) {
      tell(`run ${String(count)} of ${String(runs)}`)
      for (const format of diskFormats) await bencher.measureOnce(format)
    }
    const images = {
      qcow2: await bencher.complete('qcow2'),
      raw: await bencher.complete('raw'),
    }
    const bindings = await measureBindings({
      work: join(work, 'bindings'),
      runs,
      reference: (format) => registry.reference(format),
      disk: (format) => fixtures.images[format].disk,
      signal,
    })
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0]?.model ?? 'unknown processor'}, ${String(cpus().length)} cores, Linux ${release()}, Node ${process.versions.node}`,
      runs,
      kernelCachesDropped: bencher.kernelCachesDropped,
      fixtures,
      images,
      usr: await bencher.measureUsr(usr),
      bindings,
    }
  } finally {
    await registry.stop()
  }
}

interface Collected {
  readonly attempts: Record<string, Attempt[]>
  readonly firstPassSeconds: number[]
  readonly inflateSeconds: InflateSeconds[]
}

class Bencher {
  kernelCachesDropped = true
  readonly #fixtures: Fixtures
  readonly #registry: LocalRegistry
  readonly #libdeflate: LibdeflateSeconds
  readonly #signal: AbortSignal
  readonly #collected: Readonly<Record<DiskFormat, Collected>> = {
    qcow2: { attempts: {}, firstPassSeconds: [], inflateSeconds: [] },
    raw: { attempts: {}, firstPassSeconds: [], inflateSeconds: [] },
  }

  constructor(
    fixtures: Fixtures,
    registry: LocalRegistry,
    libdeflate: LibdeflateSeconds,
    signal: AbortSignal,
  ) {
    this.#fixtures = fixtures
    this.#registry = registry
    this.#libdeflate = libdeflate
    this.#signal = signal
  }

  async measureOnce(format: DiskFormat): Promise<void> {
    const fixture = this.#fixtures.images[format]
    const collected = this.#collected[format]
    for (const way of ways) (collected.attempts[way.name] ??= []).push(await this.#attempt(way, fixture))
    const pass = await this.#firstPass(format)
    collected.firstPassSeconds.push(pass)
    const inflate = await inflateSeconds(fixture.layer, fixture.tarBytes, this.#libdeflate)
    collected.inflateSeconds.push(inflate)
    tell(`${format}: first pass ${pass.toFixed(2)} s, bare inflate ${inflate.bare.toFixed(2)} s`)
  }

  async measureUsr(layer: Layer): Promise<UsrMeasurements> {
    const firstPassSeconds = await this.#firstPass('usr')
    const indexBytes = await indexBytesIn(indexedCacheOf('usr'))
    tell(`usr: first pass ${firstPassSeconds.toFixed(2)} s`)
    const inflate = await inflateSeconds(layer.path, layer.tarBytes, this.#libdeflate)
    return { layer, firstPassSeconds, indexBytes, inflateSeconds: inflate }
  }

  /** With what needs no repetition. */
  async complete(format: DiskFormat): Promise<ImageMeasurements> {
    const fixture = this.#fixtures.images[format]
    const indexed = indexedCacheOf(format)
    await this.#startAfresh()
    const randomReads = await measureRandomReads(fixture, this.#registry, join(work, 'scratch'), indexed)
    tell(`${format}: random reads done`)
    this.#signal.throwIfAborted()
    const firstBytes = await measureFirstBytes(fixture, this.#registry, join(work, 'scratch'))
    tell(`${format}: first byte done`)
    return { ...this.#collected[format], randomReads, firstBytes }
  }

  async #attempt(way: Way, fixture: Fixture): Promise<Attempt> {
    const place: Place = {
      registry: this.#registry,
      scratch: join(work, 'scratch'),
      result: join(work, 'result.raw'),
      cache: join(work, `cache-${fixture.format}`),
      options: { signal: this.#signal },
    }
    await this.#startAfresh()
    let timing: Timing | undefined
    const traffic: Traffic = await this.#registry.trafficOf(async () => {
      timing = await way.convert(fixture, place)
    })
    if (timing === undefined) throw new Error(`${way.name} was not timed`)
    await run(
      ['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', place.result, this.#fixtures.source],
      place.options,
    )
    await rm(place.result)
    tell(`${fixture.format}: ${way.name}: ${timing.seconds.toFixed(2)} s`)
    return { ...timing, ...traffic }
  }

  async #firstPass(name: string): Promise<number> {
    const cache = indexedCacheOf(name)
    await this.#startAfresh()
    await rm(cache, { recursive: true, force: true })
    await mkdir(cache, { recursive: true })
    return indexSeconds(cache, this.#registry.reference(name), { signal: this.#signal })
  }

  async #startAfresh(): Promise<void> {
    this.#signal.throwIfAborted()
    await rm(join(work, 'scratch'), { recursive: true, force: true })
    await rm(join(work, 'result.raw'), { force: true })
    await mkdir(join(work, 'scratch'))
    this.kernelCachesDropped = (await dropKernelCaches()) && this.kernelCachesDropped
  }
}

function indexedCacheOf(name: string): string {
  return join(work, `cache-indexed-${name}`)
}

function tell(text: string): void {
  process.stderr.write(`# ${text}\n`)
}

const controller = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    controller.abort()
  })
}

try {
  const measurements = await bench(Number(process.env['RUNS'] ?? 3), controller.signal)
  await writeFile(resultsFile, `${JSON.stringify(measurements, undefined, 2)}\n`)
  console.log(reportOf(measurements))
} catch (error) {
  const isInterrupted = controller.signal.aborted
  process.exitCode = isInterrupted ? interruptedExit : 1
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  console.error(isInterrupted ? 'bench: interrupted' : `bench: no results: ${text}`)
  // Ends what still runs beside the step that failed.
  controller.abort()
}
