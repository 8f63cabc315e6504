/**
 * `make bench-soak [SOAK_SECONDS=1200]`: a mount with little memory and a small cache, readers of every kind at once, and a
 * registry with ever new faults whose tags move. Resident memory and descriptors of the daemon are sampled each second and
 * drawn in bench/.work/soak.png. Fails on a wrong byte, and where memory or descriptors still grow in the second half.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { findMount } from '../src/fuse/mountinfo.js'
import { packageRoot } from '../src/util/package-root.js'
import { FakeRegistry } from '../test/support/fake-registry.js'
import { diffIdOf, gzipLayer } from '../test/support/images.js'
import { openDescriptors, residentMiB } from '../test/support/process-figures.js'
import { startRandomFaults } from '../test/support/random-faults.js'
import { sampleData } from '../test/support/sample-data.js'
import { dir, file, tarOf } from '../test/support/tar-of.js'
import { zstdFrames } from '../test/support/zstd-frames.js'
import { run } from './command.js'
import { lineCharts } from './line-chart.js'
import type { LoadResult, LoadTask } from './soak-load.js'

const seconds = Number(process.env['SOAK_SECONDS'] ?? 1200)
const seed = Number(process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const work = join(packageRoot, 'bench/.work/soak')
const treeFiles = 2_000
/** An hour has 12 tokens and, at worst, 12 signed URLs for each blob: two minutes have as many. */
const lifeMs = 10_000
const tagMovesMs = 5_000
/** By the straight line through the second half, from its beginning to its end. */
const mostGrowthMiB = 12
const mostGrowthDescriptors = 4
const kinds = [
  ...['sequential', 'sequential', 'random', 'random', 'random', 'find'],
  ...['list', 'open', 'open', 'moving', 'convert'],
] as readonly LoadTask['work'][]

/** What the straight line through the values gains from the first to the last. */
function growthOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, each) => sum + each, 0) / values.length
  let [above, below] = [0, 0]
  for (const [i, value] of values.entries()) {
    above += (i - middle) * (value - mean)
    below += (i - middle) ** 2
  }
  return below === 0 ? 0 : (above / below) * (values.length - 1)
}

interface Sample {
  readonly mebibytes: number
  readonly descriptors: number
}

const disk = sampleData('mixed', 48 << 20)
const moving = [1, 2].map((number) => sampleData('text', 600_000, number))

/** Returns what ends the moves of the tag. */
function serve(registry: FakeRegistry): () => void {
  registry.addImage('team/disk', '1', {
    layers: [gzipLayer(tarOf(dir('disk/'), file('disk/downloaded', disk)))],
  })
  const tar = tarOf(file('disk', disk))
  const zstd = {
    bytes: zstdFrames(tar, 3 << 20),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
    diffId: diffIdOf(tar),
  }
  registry.addImage('team/zstd', '1', { layers: [zstd] })
  const files = Array.from({ length: treeFiles }, (_, n) =>
    file(`usr/${String(n % 40)}/${String(n)}`, `file ${String(n)}\n`),
  )
  registry.addImage('team/tree', '1', { layers: [gzipLayer(tarOf(...files))] })
  const digests = moving.map(
    (bytes, n) =>
      registry.addImage('team/moving', `as-${String(n)}`, { layers: [gzipLayer(tarOf(file('f', bytes)))] })
        .digest,
  )
  let moves = 0
  const move = (): void => {
    registry.moveTag('team/moving', '1', digests[moves++ % digests.length] ?? digests[0] ?? ('' as never))
  }
  move()
  const timer = setInterval(move, tagMovesMs)
  return () => {
    clearInterval(timer)
  }
}

async function soak(): Promise<boolean> {
  const registry = await FakeRegistry.start({
    auth: { ttlMs: lifeMs },
    faults: { redirect: 'cdn', urlTtlMs: lifeMs },
  })
  const endMoves = serve(registry)
  const path = join(work, 'mnt')
  await mkdir(path)
  const log = openSync(`${work}.log`, 'w')
  const images = ['disk', 'zstd', 'tree', 'moving'].map((name) => `${name}=${registry.host}/team/${name}:1`)
  const daemon = spawn(
    process.execPath,
    [
      ...[
        join(packageRoot, 'bin/registryfs'),
        'mount',
        '--cache-dir',
        join(work, 'cache'),
        '--free-reserve',
        '0',
      ],
      ...[
        '--memory',
        '32M',
        '--cache-size',
        '32M',
        '--tag-ttl',
        '1s',
        '--stall',
        '500ms',
        '--log-level',
        'warn',
      ],
      ...[path, ...images],
    ],
    { stdio: ['ignore', log, log], detached: true },
  )
  closeSync(log)
  const exited = once(daemon, 'exit')
  const pid = daemon.pid ?? 0
  const stop = new SharedArrayBuffer(4)
  const samples: Sample[] = []
  const counts = { requests: 0, blobMiB: 0 }
  try {
    for (let tries = 0; findMount(path)?.type !== 'fuse.registryfs'; tries++) {
      if (tries > 200 || daemon.exitCode !== null) throw new Error('registryfs did not mount')
      await sleep(50)
    }
    const source = join(work, 'source')
    await writeFile(source, disk)
    const faults = startRandomFaults(registry, seed)
    const results = kinds.map(async (kind, number) => {
      const task: LoadTask = {
        work: kind,
        seed: number,
        disk: join(path, 'disk/disk/downloaded'),
        zstdDisk: join(path, 'zstd/disk'),
        tree: join(path, 'tree/usr'),
        moving: join(path, 'moving/f'),
        source,
        treeFiles,
        movingSums: moving.map((bytes) => createHash('sha256').update(bytes).digest('hex')),
        scratch: work,
        stop,
      }
      const worker = new Worker(new URL('./soak-load.js', import.meta.url), { workerData: task })
      const [result] = (await once(worker, 'message')) as [LoadResult]
      return result
    })
    const until = performance.now() + seconds * 1000
    while (performance.now() < until && daemon.exitCode === null) {
      await sleep(1000)
      samples.push({ mebibytes: await residentMiB(pid, 'VmRSS'), descriptors: await openDescriptors(pid) })
      counts.requests += registry.requests.length
      counts.blobMiB += registry.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0) / 2 ** 20
      registry.forgetRequests()
      if (samples.length % 60 === 0) process.stderr.write(`# ${JSON.stringify(samples.at(-1))}\n`)
    }
    new Int32Array(stop)[0] = 1
    Atomics.notify(new Int32Array(stop), 0)
    const done = await Promise.all(results)
    const faultCounts = faults.stop()
    const peakMiB = await residentMiB(pid, 'VmHWM')
    return await report(done, samples, { seed, peakMiB, ...counts, faults: faultCounts })
  } finally {
    endMoves()
    daemon.kill('SIGTERM')
    const timer = setTimeout(() => daemon.kill('SIGKILL'), 20_000)
    await exited
    clearTimeout(timer)
    if (findMount(path) !== undefined) await run(['umount', '-l', path])
    await registry.stop()
  }
}

async function report(
  done: readonly LoadResult[],
  samples: readonly Sample[],
  figures: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  const mebibytes = samples.map((sample) => sample.mebibytes)
  const descriptors = samples.map((sample) => sample.descriptors)
  await writeFile(
    `${work}.png`,
    lineCharts(
      [
        { title: 'RESIDENT MIB', values: mebibytes },
        { title: 'OPEN FILES', values: descriptors },
      ],
      seconds / 60,
    ),
  )
  await writeFile(`${work}.json`, `${JSON.stringify({ ...figures, done, mebibytes, descriptors })}\n`)
  const half = Math.floor(samples.length / 2)
  const growth = growthOf(mebibytes.slice(half))
  const growthOfDescriptors = growthOf(descriptors.slice(half))
  const wrong = done.flatMap((each) => each.wrong)
  const errors = done.flatMap((each) => each.errors)
  for (const { work: kind, rounds } of done) console.log(`${kind.padEnd(12)} ${String(rounds)} rounds`)
  console.log(JSON.stringify(figures))
  console.log(
    `${String(samples.length)} s: ${String(wrong.length)} wrong, ${String(errors.length)} errors; ` +
      `in the second half memory grows by ${growth.toFixed(1)} MiB (at most ${String(mostGrowthMiB)}) ` +
      `to ${(mebibytes.at(-1) ?? 0).toFixed(0)} MiB, descriptors by ${growthOfDescriptors.toFixed(1)}; ${work}.png`,
  )
  for (const text of [...wrong, ...new Set(errors)].slice(0, 20)) console.log(text)
  const isQuiet = growth <= mostGrowthMiB && growthOfDescriptors <= mostGrowthDescriptors
  return wrong.length === 0 && errors.length === 0 && isQuiet && done.every(({ rounds }) => rounds > 0)
}

await rm(work, { recursive: true, force: true })
await mkdir(work, { recursive: true })
try {
  process.exitCode = (await soak()) ? 0 : 1
} finally {
  await rm(work, { recursive: true, force: true })
}
