// What thread-limit.test.ts runs as a user whose threads it limits: at each line of input everything that needs one is
// tried, and what came of it printed.
import { fstatSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { gunzipSync, gzipSync } from 'node:zlib'
import { inflateSpan, openFuseChannel } from '../../src/native.js'
import { runPass } from '../support/run-pass.js'

const blob = gzipSync(Buffer.alloc(3_000_000, 'what is inflated '))

async function span(): Promise<string> {
  const whole = gunzipSync(blob)
  const request = {
    input: blob.subarray(10),
    bitOffset: 0,
    atHeader: false,
    window: Buffer.alloc(0),
    windowLength: 0,
    skipBytes: 0,
    lengthBytes: whole.length,
    crc32: undefined,
  }
  return (await inflateSpan(request)).equals(whole) ? 'well' : 'wrong'
}

async function pass(): Promise<string> {
  const { last } = await runPass(blob)
  return last.kind === 'failure' ? `${last.reason}: ${last.message}` : last.kind
}

/** Sockets that stand for /dev/fuse. */
const descriptors = [4, 3]

function channel(): string {
  const descriptor = descriptors.pop() as number
  const ignore = (): void => undefined
  try {
    openFuseChannel(descriptor, { onRequests: ignore, onEnd: ignore, onTouched: ignore }, undefined).close()
    return 'well'
  } catch (error) {
    try {
      fstatSync(descriptor)
    } catch {
      return error instanceof Error ? error.message : 'no error'
    }
    return 'the descriptor is open'
  }
}

const lines = createInterface({ input: process.stdin })
lines.on('line', () => {
  const before = readdirSync('/proc/self/task').length
  void (async () => {
    const tried = { span: await span(), pass: await pass(), channel: channel() }
    const threads = readdirSync('/proc/self/task').length - before
    console.log(JSON.stringify({ ...tried, threads }))
  })()
})
// The threads of libuv are there from now on.
void import('node:fs/promises').then(async ({ stat }) => {
  await stat('/')
  console.log('ready')
})
