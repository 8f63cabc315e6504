import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import {
  allocateSlots,
  inflateSpan,
  lockFile,
  openPass,
  type InflatePass,
  type PassEvent,
  type PassOptions,
} from '../../src/native.js'
import { spanRequest } from '../support/span-request.js'
import { runPass } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const child = fileURLToPath(new URL('hazard-child.js', import.meta.url))
const source = sampleData('mixed', 3_000_000)
const blob = gzipSync(source, { level: 1 })

const sizes = {
  spacingBytes: 64 << 10,
  minimumCompressedBytes: 1024,
  maximumSpanBytes: 256 << 10,
  checkpointBytes: 200_000,
  chunkBytes: 51_200,
}

function open(onEvents: PassOptions['onEvents'], slotCount = 4): InflatePass {
  const slots = allocateSlots(slotCount, 64 << 10)
  return openPass({ ...sizes, slots, onEvents })
}

// The addon has threads of its own as soon as it is loaded.
open(() => undefined).close()

const threads = (): number => readdirSync('/proc/self/task').length

interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly problems: string
  readonly milliseconds: number
}

async function ended(process_: ChildProcess): Promise<Exit> {
  let out = ''
  let problems = ''
  const start = performance.now()
  process_.stdout?.on('data', (text: Buffer) => (out += text.toString()))
  process_.stderr?.on('data', (text: Buffer) => (problems += text.toString()))
  const late = setTimeout(() => process_.kill('SIGKILL'), 120_000)
  const [code, signal] = (await once(process_, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(late)
  return { code, signal, out, problems, milliseconds: performance.now() - start }
}

const start = (...args: string[]): ChildProcess => spawn(process.execPath, args)
const runChild = async (...args: string[]): Promise<Exit> => ended(start(child, ...args))

/** The kernel takes a moment to clear away a thread that has ended. */
async function threadsAre(isRight: (count: number) => boolean): Promise<void> {
  for (let tries = 0; !isRight(threads()); tries++) {
    assert.ok(tries < 500, `${String(threads())} threads`)
    await sleep(20)
  }
}

test('close at any moment stops all threads and all events', async () => {
  const before = threads()
  const closeMs: number[] = []
  for (let round = 0; round < 200; round++) {
    let closed = false
    const pass = open((events) => {
      assert.ok(!closed, 'an event after close')
      for (const event of events)
        if (event.kind === 'block' && Math.random() < 0.9) pass.releaseSlot(event.slot)
    })
    if (round % 10 !== 0) {
      for (let offset = 0; offset < blob.length; offset += 99_999)
        pass.push(blob.subarray(offset, offset + 99_999))
      if (round % 3 !== 0) pass.finish()
    }
    if (round % 4 === 1) await immediate()
    else if (round % 4 > 1) await sleep(Math.random() * 12)
    const start = performance.now()
    pass.close()
    closeMs.push(performance.now() - start)
    closed = true
    if (round % 2 === 0) pass.close()
  }
  closeMs.sort((a, b) => a - b)
  assert.ok((closeMs[100] ?? Infinity) < 1000, `half of them took more than ${String(closeMs[100])} ms`)
  await threadsAre((count) => count === before)
})

test('close inside onEvents, at every event, is the last that is heard', async () => {
  for (let which = 1; ; which++) {
    let calls = 0
    let over = false as boolean
    await new Promise<void>((resolve) => {
      const pass = open((events) => {
        calls++
        for (const event of events) {
          if (event.kind === 'block') pass.releaseSlot(event.slot)
          over ||= event.kind === 'end'
        }
        if (calls !== which && !over) return
        pass.close()
        pass.close()
        resolve()
      })
      pass.push(blob)
      pass.finish()
    })
    const heard = calls
    await immediate()
    await immediate()
    assert.equal(calls, heard)
    if (over) break
  }
})

test('a closed pass takes every call, and does nothing', async () => {
  const pass = open(() => {
    assert.fail('an event after close')
  })
  pass.close()
  pass.push(blob)
  pass.finish()
  pass.releaseSlot(0)
  pass.close()
  await sleep(20)
})

test('slots that were not lent, or are released twice, change nothing', async () => {
  const parts: Buffer[] = []
  const slots = allocateSlots(3, 64 << 10)
  const last = await new Promise<PassEvent>((resolve) => {
    const pass = openPass({
      ...sizes,
      slots,
      onEvents: (events) => {
        for (const event of events) {
          if (event.kind === 'block') {
            parts.push(
              Buffer.from((slots[event.slot] ?? Buffer.alloc(event.length)).subarray(0, event.length)),
            )
            for (const slot of [event.slot, event.slot, 3, 2 ** 31, -1]) pass.releaseSlot(slot)
          } else if (event.kind === 'end' || event.kind === 'failure') {
            pass.close()
            resolve(event)
          }
        }
      },
    })
    for (let slot = 0; slot < 3; slot++) pass.releaseSlot(slot)
    pass.push(blob)
    pass.finish()
  })
  assert.equal(last.kind, 'end')
  assert.ok(Buffer.concat(parts).equals(source))
})

test('pushes of nothing, pushes after finish and a second finish do no harm', async () => {
  const { last } = await runPass(blob, { pieceBytes: blob.length })
  const again = await new Promise<PassEvent>((resolve) => {
    const pass = open((events) => {
      for (const event of events) {
        if (event.kind === 'block') pass.releaseSlot(event.slot)
        if (event.kind !== 'end') continue
        pass.push(blob)
        pass.finish()
        resolve(event)
      }
    })
    pass.push(Buffer.alloc(0))
    pass.push(blob)
    pass.push(Buffer.alloc(0))
    pass.finish()
    pass.finish()
    pass.push(Buffer.alloc(0))
  })
  assert.deepEqual({ ...again, decodeSeconds: 0 }, { ...last, decodeSeconds: 0 })
})

test('a consumer that gives no slot back stops the pass, which waits without work and can be closed', async () => {
  const large = gzipSync(Buffer.alloc(200 << 20, 'large'))
  const events: PassEvent[] = []
  const pass = open((batch) => events.push(...batch))
  pass.push(large)
  pass.finish()
  while (events.filter((event) => event.kind === 'block').length < 4) await sleep(5)
  const quiet = async (): Promise<boolean> => {
    const heard = events.length
    const memory = process.memoryUsage.rss()
    const before = process.cpuUsage()
    await sleep(500)
    const { user, system } = process.cpuUsage(before)
    return user + system < 100_000 && events.length === heard && process.memoryUsage.rss() - memory < 8 << 20
  }
  // It comes to rest; what else there is to do in this process must end first.
  for (let tries = 0; !(await quiet()); tries++) assert.ok(tries < 40, 'it never rests')
  const heard = events.length
  pass.close()
  await immediate()
  assert.equal(events.length, heard)
})

test('many passes and spans at once do not disturb each other', async () => {
  const { spans } = await runPass(blob)
  const passes = Array.from({ length: 6 }, async (_, i) => runPass(blob, { pieceBytes: 10_000 * (i + 1) }))
  const pieces = [...spans, ...spans, ...spans].map(async (span) => inflateSpan(spanRequest(blob, span)))
  const inflated = Buffer.concat(await Promise.all(pieces))
  assert.ok(inflated.equals(Buffer.concat([source, source, source])))
  for (const { output, last } of await Promise.all(passes)) {
    assert.equal(last.kind, 'end')
    assert.ok(output.equals(source))
  }
})

test('a pass that nobody closes goes with the garbage, threads and all', async () => {
  const { code, out, problems } = await ended(start('--expose-gc', child, 'collect'))
  assert.equal(code, 0, problems)
  assert.deepEqual(out.split('\n'), ['80', '0', ''])
})

for (const [scenario, out, what] of [
  ['idle', '', 'an open pass that waits for input does not keep a process alive'],
  ['ended', '', 'nor does one that is over but not closed'],
  ['busy', 'end\n', 'a pass with something to do does'],
  ['spans', '20 spans\n', 'so do spans on their way'],
] as const) {
  test(what, async () => {
    const exit = await runChild(scenario)
    assert.deepEqual([exit.code, exit.signal, exit.out, exit.problems], [0, null, out, ''])
  })
}

test('process.exit with passes open and spans on their way comes at once, and clean', async () => {
  for (const milliseconds of ['0', '1', '3', '10', '30', '100']) {
    const exit = await runChild('exit', milliseconds)
    assert.deepEqual([exit.code, exit.signal, exit.out, exit.problems], [0, null, '', ''])
    assert.ok(exit.milliseconds < 20_000, `${String(exit.milliseconds)} ms`)
  }
})

test('a worker thread can be terminated at any moment', async () => {
  const before = threads()
  for (let round = 0; round < 25; round++) {
    const worker = new Worker(child, { workerData: ['churn'] })
    await once(worker, 'message')
    await sleep(Math.random() * 60)
    await worker.terminate()
  }
  await threadsAre((count) => count <= before)
})

test('what onEvents throws is an uncaught exception, and the events go on', async () => {
  for (const what of ['error', 'a string']) {
    const { code, out, problems } = await runChild('throws', what)
    assert.equal(code, 0, problems)
    assert.equal(problems, '')
    assert.match(out, what === 'error' ? /caught Error: thrown in onEvents/ : /caught a string/)
    assert.match(out, /^end$/m)
  }
})

test('without a handler it ends the process', async () => {
  const { code, problems } = await runChild('throws uncaught')
  assert.equal(code, 1)
  assert.match(problems, /Error: thrown in onEvents/)
})

test('a lock is had by one process, and free again once that was killed', async (t) => {
  const path = join(await temporaryDirectory(t), 'lock')
  const lock = async (): Promise<[ChildProcess, string]> => {
    const process_ = start(child, 'lock', path)
    const [answer] = (await once(process_.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
    return [process_, answer.toString().trim()]
  }
  const end = async (process_: ChildProcess): Promise<void> => {
    process_.kill('SIGKILL')
    await once(process_, 'close')
  }
  const [first, had] = await lock()
  assert.equal(had, 'true')
  const [second, hadToo] = await lock()
  assert.equal(hadToo, 'false')
  assert.equal(lockFile(path), false)
  await end(first)
  assert.equal(lockFile(path), true)
  assert.equal(lockFile(path), false)
  await end(second)
  const [third, hadAgain] = await lock()
  assert.equal(hadAgain, 'false')
  await end(third)
})

test('a lock file that cannot be had says why', async (t) => {
  const directory = await temporaryDirectory(t)
  await writeFile(join(directory, 'file'), '')
  await mkdir(join(directory, 'directory'))
  assert.throws(() => lockFile(join(directory, 'missing', 'lock')), /No such file/)
  assert.throws(() => lockFile(join(directory, 'file', 'lock')), /Not a directory/)
  assert.throws(() => lockFile(join(directory, 'directory')), /Is a directory/)
  assert.throws(() => lockFile('/proc/version/lock'), /Not a directory/)
  assert.throws(() => lockFile('/proc/lock'), /No such file|denied/)
})
