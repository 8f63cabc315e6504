import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { Faults, FakeRequest } from './fake-registry-faults.js'

/** Sends a blob or a part of it the way the faults want it; `rate` is asked for the bytes per second all the time. */
export async function sendBlob(
  response: ServerResponse,
  entry: FakeRequest,
  blob: Buffer,
  faults: Faults,
  rate: () => number | undefined,
): Promise<void> {
  const { acceptEncoding = '' } = entry
  if (faults.gzipIfAccepted === true && /gzip|\*/.test(acceptEncoding)) {
    await sendBody(response, entry, 200, { 'content-encoding': 'gzip' }, gzipSync(blob), faults, rate)
    return
  }
  const isIgnored =
    faults.ranges === 'ignored' && (faults.rangesTimes === undefined || faults.rangesTimes-- > 0)
  const range = isIgnored ? undefined : entry.range
  if (range === undefined) {
    await sendBody(response, entry, 200, {}, blob, faults, rate)
    return
  }
  const match = /^bytes=(\d+)-(\d+)$/.exec(range)
  const first = Number(match?.[1])
  const last = Number(match?.[2])
  // As ggcr's registry answers open and overshooting ranges.
  if (match === null || first > last || last >= blob.length) {
    entry.status = 416
    response.writeHead(416, { 'content-range': `bytes */${String(blob.length)}` }).end()
    return
  }
  const part = blob.subarray(first, last + 1)
  const headers = rangeHeaders(first, last, blob.length, faults)
  await sendBody(response, entry, 206, headers, part, faults, rate)
}

function rangeHeaders(first: number, last: number, size: number, faults: Faults): Record<string, string> {
  const isWrong = faults.rangesTimes === undefined || faults.rangesTimes-- > 0
  const contentRange = (start: number, end: number, total: string): Record<string, string> => ({
    'content-range': `bytes ${String(start)}-${String(end)}/${total}`,
  })
  switch (isWrong ? faults.ranges : undefined) {
    case 'shifted':
      return contentRange(first + 1, last + 1, String(size))
    case 'wrong-total':
      return contentRange(first, last, String(size + 1))
    case 'star-total':
      return contentRange(first, last, '*')
    case 'no-content-range':
      return {}
    case 'multipart':
      return { 'content-type': 'multipart/byteranges; boundary=x' }
    default:
      return contentRange(first, last, String(size))
  }
}

async function sendBody(
  response: ServerResponse,
  entry: FakeRequest,
  status: number,
  headers: Record<string, string>,
  whole: Buffer,
  faults: Faults,
  rate: () => number | undefined,
): Promise<void> {
  const isShort = use(faults.shortBy)
  const body = isShort === undefined ? whole : whole.subarray(0, Math.max(0, whole.length - isShort.bytes))
  entry.status = status
  response.writeHead(status, {
    'content-type': 'application/octet-stream',
    ...(isShort === undefined
      ? { 'content-length': String(body.length) }
      : { 'transfer-encoding': 'chunked' }),
    ...(faults.contentEncoding === undefined ? {} : { 'content-encoding': faults.contentEncoding }),
    ...headers,
  })
  const reset = use(faults.resetAfter, body.length)
  const stall = use(faults.stallAfter, body.length)
  const end = Math.min(body.length, reset?.bytes ?? Infinity, stall?.bytes ?? Infinity)
  response.flushHeaders()
  await write(response, entry, body.subarray(0, end), rate)
  if (reset !== undefined) response.socket?.resetAndDestroy()
  else if (stall === undefined) response.end()
}

/** Takes one of the times of a fault that hits bodies longer than its bytes. */
function use(
  fault: { bytes: number; times: number } | undefined,
  length = Infinity,
): { bytes: number } | undefined {
  if (fault === undefined || fault.times <= 0 || length <= fault.bytes) return undefined
  fault.times--
  return fault
}

async function write(
  response: ServerResponse,
  entry: FakeRequest,
  bytes: Buffer,
  rate: () => number | undefined,
): Promise<void> {
  // Once for all pieces: a listener each would add up.
  const closed = new Promise((resolve) => response.once('close', resolve))
  for (let at = 0; at < bytes.length && !response.destroyed;) {
    const bytesPerSecond = rate()
    const step = bytesPerSecond === undefined ? 256 * 1024 : Math.max(1, Math.ceil(bytesPerSecond / 100))
    const piece = bytes.subarray(at, at + step)
    at += piece.length
    const written = new Promise<void>((resolve) => {
      response.write(piece, () => {
        resolve()
      })
    })
    await Promise.race([written, closed])
    entry.bytesSent += piece.length
    if (bytesPerSecond !== undefined) await sleep(10)
  }
}
