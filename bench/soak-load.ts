/** One reader of the soak, on a thread of its own with calls that block: it does its kind of work over and over until told to stop. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
} from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'

export interface LoadTask {
  readonly work: keyof typeof works
  readonly seed: number
  /** Of the mount: a raw disk, a tree of files, and the file of an image whose tag moves. */
  readonly disk: string
  readonly zstdDisk: string
  readonly tree: string
  readonly moving: string
  /** The bytes of both disks. */
  readonly source: string
  readonly treeFiles: number
  /** sha256 of what the moving file may be. */
  readonly movingSums: readonly string[]
  /** For a convert. */
  readonly scratch: string
  /** One 32-bit word: not 0 when it is time to end. */
  readonly stop: SharedArrayBuffer
}

export interface LoadResult {
  readonly work: string
  readonly rounds: number
  /** Reads that failed: allowed to a registry that misbehaves, but told. */
  readonly errors: readonly string[]
  /** Wrong bytes or names: never allowed. */
  readonly wrong: readonly string[]
}

const pieceBytes = 128 * 1024
const task = workerData as LoadTask
const stop = new Int32Array(task.stop)
const source = readFileSync(task.source)
const buffer = Buffer.alloc(1 << 20)

class Wrong extends Error {}

function check(isRight: boolean, what: string): void {
  if (!isRight) throw new Wrong(what)
}

/** Every other time past the page cache, so that the daemon is asked. */
let opened = 0
function openFile(path: string): number {
  return openSync(path, constants.O_RDONLY | (opened++ % 2 === 0 ? constants.O_DIRECT : 0))
}

function readAt(descriptor: number, offset: number, length: number): Buffer {
  let done = 0
  while (done < length) {
    const count = readSync(descriptor, buffer, done, length - done, offset + done)
    check(count > 0, `ends at ${String(offset + done)}`)
    done += count
  }
  return buffer.subarray(0, length)
}

function readFrom(path: string, places: Iterable<readonly [offset: number, length: number]>): void {
  const descriptor = openFile(path)
  try {
    check(fstatSync(descriptor).size === source.length, 'another size')
    for (const [offset, length] of places) {
      if (stop[0] !== 0) return
      const isEqual = readAt(descriptor, offset, length).equals(source.subarray(offset, offset + length))
      check(isEqual, `${path}: ${String(length)} bytes at ${String(offset)}`)
    }
  } finally {
    closeSync(descriptor)
  }
}

function* onwards(): Generator<readonly [number, number]> {
  for (let at = 0; at < source.length; at += pieceBytes) yield [at, Math.min(pieceBytes, source.length - at)]
}

function* anywhere(count: number): Generator<readonly [number, number]> {
  for (let i = 0; i < count; i++) {
    const offset = Math.floor(Math.random() * source.length)
    yield [offset, Math.min(1 + Math.floor(Math.random() * 2 * pieceBytes), source.length - offset)]
  }
}

function filesBelow(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    return entry.isDirectory() ? filesBelow(path) : [path]
  })
}

const works = {
  sequential: () => {
    readFrom(Math.random() < 0.5 ? task.disk : task.zstdDisk, onwards())
  },
  random: () => {
    readFrom(Math.random() < 0.5 ? task.disk : task.zstdDisk, anywhere(100))
  },
  find: () => {
    const files = filesBelow(task.tree)
    check(files.length === task.treeFiles, `${String(files.length)} files`)
    for (const file of files) check(lstatSync(file).size > 0, file)
  },
  list: () => {
    const text = execFileSync('ls', ['-lR', task.tree], { encoding: 'utf8', maxBuffer: 64 << 20 })
    check(text.split('\n').filter((line) => line.startsWith('-')).length === task.treeFiles, 'ls -lR')
    execFileSync('getfattr', ['-d', '-m', '-', task.disk], { stdio: ['ignore', 'pipe', 'pipe'] })
  },
  open: () => {
    for (const file of filesBelow(task.tree).filter(() => Math.random() < 0.05)) {
      const descriptor = openFile(file)
      try {
        check(readAt(descriptor, 0, 4).toString() === 'file', file)
      } finally {
        closeSync(descriptor)
      }
    }
  },
  moving: () => {
    // In one go: the tag must not move below an open file.
    const descriptor = openFile(task.moving)
    try {
      const bytes = readAt(descriptor, 0, fstatSync(descriptor).size)
      check(task.movingSums.includes(createHash('sha256').update(bytes).digest('hex')), 'the moving file')
    } finally {
      closeSync(descriptor)
    }
    Atomics.wait(stop, 0, 0, 100)
  },
  convert: () => {
    const copy = join(task.scratch, `copy-${String(task.seed)}`)
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', task.disk, copy], { stdio: 'pipe' })
    check(readFileSync(copy).equals(source), 'a converted disk')
    Atomics.wait(stop, 0, 0, 5_000)
  },
} as const

let rounds = 0
const errors: string[] = []
const wrong: string[] = []
while (stop[0] === 0) {
  try {
    works[task.work]()
    rounds++
  } catch (error) {
    const text = error instanceof Error ? error.message.slice(-300) : String(error)
    const list = error instanceof Wrong ? wrong : errors
    if (list.length < 100) list.push(text)
    Atomics.wait(stop, 0, 0, 200)
  }
}
parentPort?.postMessage({ work: task.work, rounds, errors, wrong } satisfies LoadResult)
