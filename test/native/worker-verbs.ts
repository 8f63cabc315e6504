// The worker threads that worker-end.test.ts terminates.
import { openSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import {
  allocateSlots,
  chunkSeal,
  crc32,
  inflateSpan,
  listXattrs,
  makeResidentTable,
  mountFuse,
  openFuseChannel,
  openPass,
  replaceFile,
  zstdVerbs,
} from '../../src/native.js'

const [scenario, place] = workerData as [string, string]
const plain = Buffer.concat([Buffer.alloc(100_000, 'plain'), Buffer.alloc(400_000)])
const blob = gzipSync(plain)
const ignore = (): void => undefined
const span = {
  ...{ atHeader: true, bitOffset: 0, window: Buffer.alloc(0), windowLength: 0, skipBytes: 0 },
  ...{ input: blob, lengthBytes: plain.length, crc32: crc32(plain) },
}

function passes(): void {
  const pass = openPass({
    spacingBytes: 64 << 10,
    minimumCompressedBytes: 16,
    maximumSpanBytes: 64 << 10,
    checkpointBytes: 100_000,
    chunkBytes: 64,
    slots: allocateSlots(8, 64 << 10),
    onEvents: (events) => {
      for (const event of events) if (event.kind === 'block') pass.releaseSlot(event.slot)
    },
  })
  for (let offset = 0; offset < blob.length; offset += 50) pass.push(blob.subarray(offset, offset + 50))
  pass.finish()
}

function spans(): void {
  void inflateSpan(span)
  const verbs = zstdVerbs()
  verbs.compressZstd(plain, Buffer.alloc(plain.length), ignore)
  verbs.openZstdStream().decode(blob, Buffer.alloc(1000), ignore)
  verbs.decodeZstdSpan({ input: blob, skipBytes: 0, crc32: undefined }, Buffer.alloc(1000), ignore)
}

let files = 0
function blocking(): void {
  const name = join(place, `${String(process.pid)}-${String(files++)}`)
  void replaceFile(name, `${name}.done`, [plain, blob], { durable: false })
  void listXattrs(Buffer.from(place), 1000)
  chunkSeal(plain, undefined, { index: 0, chunkBytes: 64 })
}

/** Its connection has no mount, and ends at once. */
function channels(): void {
  const table = makeResidentTable()
  table.publish(1, files, plain)
  const events = { onRequests: ignore, onEnd: ignore, onTouched: ignore }
  const channel = openFuseChannel(openSync('/dev/fuse', 'r+'), events, table)
  table.withdraw(1, files++)
  // Answered by a thread that inflates, while all goes down.
  table.openFile(3, 2, 0, plain.length)
  table.showUpTo(2, plain.length)
  channel.park(files, 3, 0, 1000)
  channel.park(files + 1, 3, 0, 1000)
  void inflateSpan(span, undefined, { table, space: 2, offset: 0 })
  channel.takeBack(files)
  channel.reply(1, 0, [plain, blob])
  channel.closeBacking(channel.openBacking(0))
  if (files % 2 === 0) channel.close()
}

const scenarios: Record<string, () => void> = { passes, spans, blocking, channels }

const request = { source: 'test', flags: 0, kernelOptions: '', helperOptions: '', mountPoint: place }
if (scenario === 'mount') {
  void mountFuse(request)
  parentPort?.postMessage('mounting')
  // Never hears of it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}
const verb = scenarios[scenario] ?? ignore
parentPort?.postMessage('at it')
for (let round = 1; ; round++) {
  verb()
  // Lets what was begun be answered, now and then.
  if (round % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
}
