/**
 * What many small members cost: listings from a stored index, the index, memory, and `find` through a mount. Run by hand,
 * as root: `node build/bench/many-members.js [MEMBERS]`. Everything is made anew in bench/.work/many and removed.
 */
import { createHash, type Hash } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGzip } from 'node:zlib'
import { packageRoot } from '../src/util/package-root.js'
import { run } from './command.js'
import { indexBytesIn } from './index-bytes.js'

const program = join(packageRoot, 'bin/registryfs')
const blockBytes = 512
const filesInDirectory = 100

interface Cost {
  readonly wallSeconds: number
  readonly cpuSeconds: number
  readonly peakMiB: number
}

/** Of a command and all that it starts, by the kernel's account. */
const measure = `
import json, resource, subprocess, sys, time
began = time.time()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({'code': code, 'wallSeconds': time.time() - began, 'cpuSeconds': used.ru_utime + used.ru_stime, 'peakMiB': used.ru_maxrss / 1024}))
`

async function costOf(...command: readonly string[]): Promise<Cost> {
  const cost = JSON.parse(await run(['python3', '-c', measure, ...command])) as Cost & { code: number }
  if (cost.code !== 0) throw new Error(`${command.join(' ')} ended with ${String(cost.code)}`)
  return cost
}

function headerOf(type: string, name: string, size: number): Buffer {
  const block = Buffer.alloc(blockBytes)
  block.write(name, 0, 'latin1')
  block.write(type === '5' ? '0000755\0' : '0000644\0', 100)
  block.write('0000000\x000000000\0', 108)
  block.write(`${size.toString(8).padStart(11, '0')}\x0014371573611\0        ${type}`, 124, 'latin1')
  block.write('ustar\x0000', 257)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

function* tarOf(members: number): Generator<Buffer> {
  let parts: Buffer[] = []
  for (let i = 0; i < members; i++) {
    const directory = `usr/share/package-${String(Math.floor(i / filesInDirectory))}/`
    if (i % filesInDirectory === 0) {
      yield Buffer.concat(parts)
      parts = [headerOf('5', directory, 0)]
      continue
    }
    const content = Buffer.alloc(blockBytes)
    const size = content.write(`content of ${String(i)}\n`)
    parts.push(headerOf('0', `${directory}some-file-${String(i)}.conf`, size), content)
  }
  yield Buffer.concat([...parts, Buffer.alloc(2 * blockBytes)])
}

/** An OCI layout with one image of one layer, and the layer's tar unpacked by whoever wants it. */
async function writeImage(oci: string, members: number): Promise<string> {
  const blobs = join(oci, 'blobs/sha256')
  await mkdir(blobs, { recursive: true })
  const [diffId, digest] = [createHash('sha256'), createHash('sha256')]
  const gzip = createGzip({ level: 1 })
  const file = createWriteStream(join(blobs, 'layer'))
  let size = 0
  gzip.on('data', (bytes: Buffer) => {
    digest.update(bytes)
    size += bytes.length
  })
  gzip.pipe(file)
  for (const bytes of tarOf(members)) {
    diffId.update(bytes)
    if (!gzip.write(bytes)) await once(gzip, 'drain')
  }
  gzip.end()
  await once(file, 'close')
  const hex = digest.digest('hex')
  await rename(join(blobs, 'layer'), join(blobs, hex))
  const put = async (value: unknown, mediaType: string): Promise<object> => {
    const bytes = Buffer.from(JSON.stringify(value))
    const own = hexOf(createHash('sha256').update(bytes))
    await writeFile(join(blobs, own), bytes)
    return { mediaType, digest: `sha256:${own}`, size: bytes.length }
  }
  const oci1 = 'application/vnd.oci.image'
  const config = await put(
    {
      os: 'linux',
      architecture: 'amd64',
      config: {},
      rootfs: { type: 'layers', diff_ids: [`sha256:${hexOf(diffId)}`] },
    },
    `${oci1}.config.v1+json`,
  )
  const layer = { mediaType: `${oci1}.layer.v1.tar+gzip`, digest: `sha256:${hex}`, size }
  const mediaType = `${oci1}.manifest.v1+json`
  const manifest = await put({ schemaVersion: 2, mediaType, config, layers: [layer] }, mediaType)
  await writeFile(join(oci, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  await writeFile(join(oci, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  return join(blobs, hex)
}

function hexOf(hash: Hash): string {
  return hash.digest('hex')
}

function report(what: string, value: number, unit: string, target?: number): void {
  const wanted = target === undefined ? '' : ` (at most ${String(target)}${value > target ? ': MISSED' : ''})`
  console.log(`${what.padEnd(58)} ${value.toFixed(2)} ${unit}${wanted}`)
}

async function measureListings(work: string, members: number): Promise<void> {
  const oci = join(work, 'oci')
  const cache = join(work, 'cache')
  await writeImage(oci, members)
  const us = (...words: readonly string[]): readonly string[] => [
    process.execPath,
    program,
    ...words,
    '--cache-dir',
    cache,
  ]
  const pass = await costOf(...us('index', `oci:${oci}`))
  report(`first pass over ${String(members)} members, CPU`, pass.cpuSeconds, 's')
  report('first pass, peak memory', pass.peakMiB, 'MiB', 500)
  report('index per member', (await indexBytesIn(cache)) / members, 'bytes', 120)
  const empty = await costOf(process.execPath, program, '--version')
  report('a process that does nothing, CPU', empty.cpuSeconds, 's')
  const list = await costOf(...us('ls', `oci:${oci}`, '/usr/share'))
  report('one directory from the stored index, CPU', list.cpuSeconds, 's', 2)
  report('one directory from the stored index, peak memory', list.peakMiB, 'MiB', 500)
  const all = await costOf(...us('ls', '-R', `oci:${oci}`))
  report('all members from the stored index (ls -R), CPU', all.cpuSeconds, 's')
  report('all members from the stored index, peak memory', all.peakMiB, 'MiB', 500)
}

async function dropCaches(): Promise<void> {
  await run(['sh', '-c', 'sync; echo 3 >/proc/sys/vm/drop_caches'])
}

async function bestFind(directory: string, before: () => Promise<void>): Promise<number> {
  let best = Infinity
  for (let i = 0; i < 3; i++) {
    await before()
    best = Math.min(best, (await costOf('find', directory, '-type', 'f', '-size', '+0')).wallSeconds)
  }
  return best
}

async function measureFind(work: string, members: number): Promise<void> {
  const oci = join(work, 'small')
  const [cache, tree, mountPoint] = ['small-cache', 'tree', 'mnt'].map((name) => join(work, name)) as [
    string,
    string,
    string,
  ]
  const layer = await writeImage(oci, members)
  await mkdir(tree)
  await mkdir(mountPoint)
  await run(['tar', '-xzf', layer, '-C', tree])
  await costOf(process.execPath, program, 'index', `oci:${oci}`, '--cache-dir', cache)
  const unpacked = await bestFind(tree, dropCaches)
  const times: number[] = []
  for (let i = 0; i < 3; i++) {
    const daemon = spawn(
      process.execPath,
      [program, 'mount', '--cache-dir', cache, mountPoint, `image=oci:${oci}`],
      {
        stdio: 'ignore',
      },
    )
    const gone = once(daemon, 'exit')
    try {
      for (let tries = 0; tries < 100 && (await readdir(mountPoint)).length === 0; tries++) await sleep(100)
      await dropCaches()
      times.push((await costOf('find', join(mountPoint, 'image'), '-type', 'f', '-size', '+0')).wallSeconds)
    } finally {
      daemon.kill('SIGTERM')
      await gone
    }
  }
  const mounted = Math.min(...times)
  report(`find -size over ${String(members)} unpacked, caches dropped`, unpacked, 's')
  report('the same through a mount that has just begun', mounted, 's')
  report('ratio', mounted / unpacked, 'times', 3)
}

const work = join(packageRoot, 'bench/.work/many')
await rm(work, { recursive: true, force: true })
await mkdir(work, { recursive: true })
try {
  await measureFind(work, 60_000)
  await measureListings(work, Number(process.argv[2] ?? 1_000_000))
} finally {
  await rm(work, { recursive: true, force: true })
}
