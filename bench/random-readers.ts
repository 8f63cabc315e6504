/**
 * Readers at random places of a file at once, each comparing what it gets with the same bytes of another file:
 *
 *     node build/bench/random-readers.js FILE SOURCE [--readers 16] [--reads 200] [--seed 1]
 *
 * Exits with 1 and names the place at the first difference or failure. Each reader is a thread with blocking reads of its
 * own: Node's asynchronous ones share four threads.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

const largestRead = 256 * 1024

interface Task {
  readonly file: string
  readonly source: string
  readonly reads: number
  readonly seed: number
}

interface Outcome {
  readonly bytes: number
  readonly failure: string | undefined
}

function readAtRandom({ file, source, reads, seed }: Task): Outcome {
  const random = randomNumbers(seed)
  const descriptors = [openSync(file, 'r'), openSync(source, 'r')] as const
  const [read, expected] = [Buffer.alloc(largestRead), Buffer.alloc(largestRead)]
  const [fileSize, sourceSize] = descriptors.map((descriptor) => fstatSync(descriptor).size)
  let bytes = 0
  let place = 'the sizes'
  try {
    if (fileSize === undefined || fileSize !== sourceSize) throw new Error('differ')
    for (let count = 0; count < reads; count++) {
      const offset = Math.floor(random() * fileSize)
      const length = Math.min(1 + Math.floor(random() * largestRead), fileSize - offset)
      place = `${String(length)} bytes at ${String(offset)}`
      readFully(descriptors[0], read, offset, length)
      readFully(descriptors[1], expected, offset, length)
      if (!read.subarray(0, length).equals(expected.subarray(0, length))) throw new Error('differ')
      bytes += length
    }
    return { bytes, failure: undefined }
  } catch (error) {
    return { bytes, failure: `${place}: ${error instanceof Error ? error.message : String(error)}` }
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor)
  }
}

function readFully(descriptor: number, buffer: Buffer, offset: number, length: number): void {
  for (let done = 0; done < length;) {
    const count = readSync(descriptor, buffer, done, length - done, offset + done)
    if (count === 0) throw new Error('ends too early')
    done += count
  }
}

/** mulberry32: the same numbers for the same seed, from 0 to below 1. */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

async function runReader(task: Task): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: task })
    worker.once('message', resolve).once('error', reject)
  })
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      readers: { type: 'string', default: '16' },
      reads: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
    },
  })
  const [file, source] = positionals
  if (file === undefined || source === undefined) throw new Error('two files are needed')
  const start = performance.now()
  const outcomes = await Promise.all(
    Array.from({ length: Number(values.readers) }, async (_, reader) =>
      runReader({ file, source, reads: Number(values.reads), seed: Number(values.seed) + reader }),
    ),
  )
  const failures = outcomes.flatMap(({ failure }) => (failure === undefined ? [] : [failure]))
  const mebibytes = outcomes.reduce((sum, { bytes }) => sum + bytes, 0) / 2 ** 20
  console.log(
    `${values.readers} readers, ${values.reads} reads each, ${mebibytes.toFixed(1)} MiB in ` +
      `${((performance.now() - start) / 1000).toFixed(1)} s, seed ${values.seed}: ` +
      (failures.length === 0 ? 'all equal' : `${String(failures.length)} failed`),
  )
  for (const failure of failures) console.error(failure)
  process.exitCode = failures.length === 0 ? 0 : 1
}

if (isMainThread) await main()
else parentPort?.postMessage(readAtRandom(workerData as Task))
