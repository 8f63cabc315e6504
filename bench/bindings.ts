/**
 * Both bindings to the kernel, side by side: the same images, the same cache, one after the other in each run. What is
 * small is served by a registry in this process; the disks come from the benchmark's.
 */
import { createHash } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FakeRegistry } from '../test/support/fake-registry.js'
import { gzipLayer } from '../test/support/images.js'
import { writtenBytes } from '../test/support/process-figures.js'
import { sampleData } from '../test/support/sample-data.js'
import { dir, file, tarOf } from '../test/support/tar-of.js'
import { run, secondsOf, shell } from './command.js'
import { diskFormats, type DiskFormat } from './fixtures.js'
import { dropKernelCaches } from './kernel-caches.js'
import { indexSeconds, RegistryfsMount } from './registryfs.js'

export const bindings = ['native', 'fuse-native'] as const
export type Binding = (typeof bindings)[number]

/** One for each run. */
export interface BindingFigures {
  /** MiB/s in pieces of 128 KiB, out of the daemon's memory; the page cache is empty. */
  readonly sequential: number[]
  /** The same of a file that was read, closed and opened again. */
  readonly secondOpen: number[]
  /** What the daemon answered meanwhile, of what was read. */
  readonly secondOpenAnswered: number[]
  /** 4 KiB each, past the page cache, in a second. */
  readonly randomOneJob: number[]
  readonly randomFourJobs: number[]
  /** Seconds of `ls -l` of a directory of 20,000 files with a new mount: with the index on disk, and from nothing. */
  readonly list: number[]
  readonly listFromNothing: number[]
  /** Milliseconds, the median of many reads of 64 KiB at random places of a disk, its chunks in the page cache. */
  readonly random64: Readonly<Record<DiskFormat, number[]>>
}

export interface BindingMeasurements {
  readonly bindings: Readonly<Record<Binding, BindingFigures>>
  /** MiB/s of the same bytes in a local file, in the page cache. */
  readonly localFile: readonly number[]
}

export interface BindingsPlace {
  /** A directory for all that is made, removed when done. */
  readonly work: string
  readonly runs: number
  readonly reference: (format: DiskFormat) => string
  /** The same disk as a local file. */
  readonly disk: (format: DiskFormat) => string
  readonly signal?: AbortSignal | undefined
}

const filesInDirectory = 20_000
/** Few enough spans that a sequential reader lets none go behind it. */
const sequentialBytes = 16 << 20
const randomBytes = 48 << 20
const fioSeconds = '2'
/** Of the same file, one after the other. */
const opens = 7

/** One process reads, so that its start is not measured. */
const reader = `
import json, mmap, os, random, statistics, sys, time
mode, path = sys.argv[1:3]
fd = os.open(path, os.O_RDONLY)
size = os.fstat(fd).st_size
def through(piece=128 * 1024):
    buffer, at, began = mmap.mmap(-1, piece), 0, time.perf_counter()
    while at < size: at += os.preadv(fd, [buffer], at)
    return size / 2 ** 20 / (time.perf_counter() - began)
def forget(): os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
if mode == 'sequential':
    through()
    rates = []
    for _ in range(7):
        forget()
        rates.append(through())
    print(statistics.median(rates))
if mode == 'again':
    through()
    rates = []
    for _ in range(${String(opens)}):
        os.close(fd)
        fd = os.open(path, os.O_RDONLY)
        rates.append(through())
    print(statistics.median(rates))
if mode == 'backwards':
    for at in range(size - 65536, -1, -65536): assert os.pread(fd, 65536, at)
if mode == 'places':
    generator, times, source = random.Random(int(sys.argv[3])), [], os.open(sys.argv[4], os.O_RDONLY)
    while len(times) < 100:
        at = generator.randrange(size - 65536)
        try:
            if os.lseek(source, at, os.SEEK_DATA) != at: continue
        except OSError: continue # no data behind it
        forget()
        began = time.perf_counter()
        got = os.pread(fd, 65536, at)
        times.append(time.perf_counter() - began)
        assert got == os.pread(source, 65536, at), at
    print(statistics.median(times) * 1000)
`

async function read(mode: string, path: string, ...more: readonly string[]): Promise<number> {
  return Number(await run(['python3', '-c', reader, mode, path, ...more], { timeoutMs: 120_000 }))
}

async function randomReadsInSecond(path: string, jobs: number): Promise<number> {
  const text = await run([
    ...['fio', '--name=random', `--filename=${path}`, '--readonly', '--rw=randread', '--bs=4k', '--direct=1'],
    ...['--ioengine=psync', `--numjobs=${String(jobs)}`, '--group_reporting', '--time_based'],
    ...[`--runtime=${fioSeconds}`, '--output-format=json'],
  ])
  const { jobs: reports } = JSON.parse(text) as { jobs: readonly { read: { iops: number } }[] }
  return reports[0]?.read.iops ?? NaN
}

function noFigures(): BindingFigures {
  return {
    ...{
      sequential: [],
      secondOpen: [],
      secondOpenAnswered: [],
      randomOneJob: [],
      randomFourJobs: [],
      list: [],
      listFromNothing: [],
    },
    random64: { qcow2: [], raw: [] },
  }
}

export async function measureBindings(place: BindingsPlace): Promise<BindingMeasurements> {
  const registry = await FakeRegistry.start()
  try {
    return await new BindingsBench(place, registry).measure()
  } finally {
    await registry.stop()
    await rm(place.work, { recursive: true, force: true })
  }
}

class BindingsBench {
  readonly #place: BindingsPlace
  readonly #registry: FakeRegistry
  readonly #figures: Readonly<Record<Binding, BindingFigures>> = {
    native: noFigures(),
    'fuse-native': noFigures(),
  }
  readonly #localFile: number[] = []
  readonly #sequential = sampleData('random', sequentialBytes, 2)

  constructor(place: BindingsPlace, registry: FakeRegistry) {
    this.#place = place
    this.#registry = registry
    const random = sampleData('random', randomBytes, 3)
    const many = Array.from({ length: filesInDirectory }, (_, n) =>
      file(`many/${String(n).padStart(5, '0')}`, `${String(n)}\n`),
    )
    const files = tarOf(file('sequential', this.#sequential), file('random', random))
    registry.addImage('files', '1', { layers: [gzipLayer(files, 1)] })
    registry.addImage('many', '1', { layers: [gzipLayer(tarOf(dir('many'), ...many))] })
  }

  async measure(): Promise<BindingMeasurements> {
    const { work, runs, signal, reference, disk } = this.#place
    await rm(work, { recursive: true, force: true })
    await mkdir(work, { recursive: true })
    const cache = join(work, 'cache')
    const options = { signal }
    const of = (name: string): string => `${this.#registry.host}/${name}:1`
    for (const each of [of('files'), of('many'), ...diskFormats.map(reference)])
      await indexSeconds(cache, each, options)
    const local = join(work, 'local')
    await writeFile(local, this.#sequential)
    for (let count = 0; count < runs; count++) {
      this.#localFile.push(await read('again', local))
      // In turns: the second one has the memory that the first has freed, and the host need not give it again.
      for (const binding of count % 2 === 0 ? bindings : bindings.toReversed()) {
        signal?.throwIfAborted()
        const figures = this.#figures[binding]
        await this.#mounted(binding, cache, of('files'), async (root, pid) =>
          this.#measureFiles(root, pid, figures),
        )
        const list = async (root: string): Promise<number> =>
          secondsOf(async () => shell(`ls -l '${root}/many' | tail -1`, options))
        await this.#mounted(binding, cache, of('many'), async (root) => figures.list.push(await list(root)))
        const empty = join(work, `empty-${binding}-${String(count)}`)
        await this.#mounted(binding, empty, of('many'), async (root) =>
          figures.listFromNothing.push(await list(root)),
        )
        for (const format of diskFormats)
          await this.#mounted(binding, cache, reference(format), async (root) => {
            // For both the same: what the first one reads from the disk the second would find in memory below it.
            await shell(`find '${cache}/chunks' -type f -exec cat {} + >/dev/null`, options)
            figures.random64[format].push(
              await read('places', `${root}/disk/downloaded`, String(count), disk(format)),
            )
          })
        process.stderr.write(`# bindings: ${binding}, run ${String(count + 1)}\n`)
      }
    }
    return { bindings: this.#figures, localFile: this.#localFile }
  }

  async #measureFiles(root: string, pid: number, figures: BindingFigures): Promise<void> {
    const [sequential, random] = [`${root}/sequential`, `${root}/random`]
    const [expected] = (await run(['sha256sum', sequential])).split(' ')
    if (expected !== createHash('sha256').update(this.#sequential).digest('hex'))
      throw new Error('wrong bytes')
    figures.sequential.push(await read('sequential', sequential))
    const before = await writtenBytes(pid)
    figures.secondOpen.push(await read('again', sequential))
    figures.secondOpenAnswered.push(((await writtenBytes(pid)) - before) / (opens * sequentialBytes))
    // So that a sequential reader is not seen in it, behind which spans go.
    await read('backwards', random)
    figures.randomOneJob.push(await randomReadsInSecond(random, 1))
    figures.randomFourJobs.push(await randomReadsInSecond(random, 4))
  }

  async #mounted(
    binding: Binding,
    cache: string,
    reference: string,
    work: (root: string, pid: number) => Promise<unknown>,
  ): Promise<void> {
    await mkdir(cache, { recursive: true })
    const mount = await RegistryfsMount.start(this.#place.work, cache, reference, ['--binding', binding])
    try {
      await dropKernelCaches()
      await work(join(mount.path, 'image'), mount.pid)
    } finally {
      await mount.stop()
    }
  }
}
