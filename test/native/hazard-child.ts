// What hazards.test.ts does to whole processes and worker threads: hazard-child.js SCENARIO [ARGUMENT].
import { readdirSync } from 'node:fs'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  allocateSlots,
  inflateSpan,
  lockFile,
  openPass,
  type InflatePass,
  type PassEvent,
} from '../../src/native.js'
import { sampleData } from '../support/sample-data.js'

const say = (what: string): void => {
  if (parentPort) parentPort.postMessage(what)
  else process.stdout.write(`${what}\n`)
}
const blob = gzipSync(sampleData('mixed', 3_000_000), { level: 1 })

/** A pass whose slots come back at once, or never. */
function open(onEvents?: (events: readonly PassEvent[], pass: InflatePass) => void, slots = 16): InflatePass {
  const pass = openPass({
    spacingBytes: 64 << 10,
    minimumCompressedBytes: 1024,
    maximumSpanBytes: 256 << 10,
    checkpointBytes: 1 << 20,
    chunkBytes: 102_400,
    slots: allocateSlots(slots, 64 << 10),
    onEvents: (events) => {
      if (onEvents) onEvents(events, pass)
      else for (const event of events) if (event.kind === 'block') pass.releaseSlot(event.slot)
    },
  })
  return pass
}

function openAndForget(): void {
  const ignore = (): void => undefined
  const pass = openPass({
    spacingBytes: 64 << 10,
    minimumCompressedBytes: 1024,
    maximumSpanBytes: 256 << 10,
    checkpointBytes: 1 << 20,
    chunkBytes: 102_400,
    slots: allocateSlots(2, 64 << 10),
    onEvents: ignore,
  })
  pass.push(blob)
}

async function spans(count: number): Promise<number> {
  const bomb = gzipSync(Buffer.alloc(20_000_000))
  let done = 0
  await Promise.all(
    Array.from({ length: count }, async () => {
      await inflateSpan({
        input: bomb,
        bitOffset: 0,
        atHeader: true,
        window: Buffer.alloc(0),
        windowLength: 0,
        skipBytes: 19_000_000,
        lengthBytes: 1000,
        crc32: undefined,
      })
      done++
    }),
  )
  return done
}

const threads = (): number => readdirSync('/proc/self/task').length

const scenarios: Record<string, (argument: string) => void | Promise<void>> = {
  /** Exits by itself, for the pass has nothing to do. */
  idle: () => {
    open()
    open().push(blob.subarray(0, 500_000))
  },
  ended: () => {
    const pass = open()
    pass.push(blob)
    pass.finish()
    open().push(Buffer.alloc(1000))
  },
  busy: () => {
    const pass = open((events) => {
      for (const event of events) {
        if (event.kind === 'block') pass.releaseSlot(event.slot)
        if (event.kind === 'end') say('end')
      }
    })
    pass.push(blob)
    pass.finish()
  },
  spans: () => {
    void spans(20).then((done) => {
      say(`${String(done)} spans`)
    })
  },
  async exit(milliseconds) {
    for (let i = 0; i < 3; i++) {
      const pass = open()
      pass.push(blob)
      if (i > 0) pass.finish()
    }
    open(() => undefined, 2).push(blob)
    void spans(50)
    await sleep(Number(milliseconds))
    process.exit(0)
  },
  /** The worker that is terminated, at any moment of this. */
  async churn() {
    void spans(1000)
    for (;;) {
      await new Promise<void>((resolve) => {
        const pass = open((events) => {
          for (const event of events) {
            if (event.kind === 'block') pass.releaseSlot(event.slot)
            if (event.kind === 'end') resolve()
          }
          // Time for the termination to come in the middle of a call.
          for (const end = performance.now() + 0.3; performance.now() < end;);
        })
        for (let offset = 0; offset < blob.length; offset += 50_000)
          pass.push(blob.subarray(offset, offset + 50_000))
        pass.finish()
        say('open')
      })
    }
  },
  async collect() {
    const { gc } = globalThis
    if (gc === undefined) throw new Error('needs --expose-gc')
    open().close()
    const before = threads()
    for (let i = 0; i < 20; i++) openAndForget()
    say(String(threads() - before))
    for (let i = 0; i < 100 && threads() > before; i++) {
      gc()
      await sleep(20)
    }
    say(String(threads() - before))
  },
  throws: (what) => {
    process.on('uncaughtException', (error: unknown) => {
      say(`caught ${String(error)}`)
    })
    const pass = open((events, self) => {
      for (const event of events) if (event.kind === 'block') self.releaseSlot(event.slot)
      if (events.some((event) => event.kind === 'end')) say('end')
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw what === 'error' ? new Error('thrown in onEvents') : what
    })
    pass.push(blob.subarray(0, 100_000))
    pass.push(blob.subarray(100_000))
    pass.finish()
  },
  'throws uncaught': () => {
    open(() => {
      throw new Error('thrown in onEvents')
    }).push(blob)
  },
  lock: (path) => {
    say(String(lockFile(path)))
    setInterval(() => undefined, 1000)
  },
}

const [scenario = '', argument = ''] = isMainThread ? process.argv.slice(2) : (workerData as string[])
const run = scenarios[scenario]
if (run === undefined) throw new Error(`no scenario ${scenario}`)
await run(argument)
