import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { inflateSpan, type SpanEvent, type SpanRequest } from '../../src/native.js'
import { spanRequest } from '../support/span-request.js'
import { hasCode } from '../../src/util/errors.js'
import { runPass } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'
import { temporaryDirectory } from '../support/temporary-directory.js'
import { withoutDescriptors } from '../support/without-descriptors.js'
import { decodeZstdSpan } from '../../src/zstd/zstd.js'
import { zstdFrame } from '../support/zstd-frames.js'
import { packedWindow, unpackedWindow } from '../support/sparse-window.js'

const source = sampleData('mixed', 3_000_000)
const blob = Buffer.concat([gzipSync(source.subarray(0, 1_000_003)), gzipSync(source.subarray(1_000_003))])
const { spans } = await runPass(blob)

function requestOf(span: SpanEvent, more: Partial<SpanRequest> = {}): SpanRequest {
  return spanRequest(blob, span, more)
}

const isCorrupt = (error: unknown): boolean => hasCode(error, 'CORRUPT')
const spanWithWindow = spans.find((span) => span.windowLength > 1000) as SpanEvent

test('any piece of any span is the source there', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(spans.length - 1), fc.nat(), fc.nat(), async (index, skipAt, lengthAt) => {
      const span = spans[index] as SpanEvent
      const skipBytes = skipAt % (span.uncompressedLength + 1)
      const lengthBytes = lengthAt % (span.uncompressedLength - skipBytes + 1)
      const bytes = await inflateSpan(requestOf(span, { skipBytes, lengthBytes, crc32: undefined }))
      const start = span.uncompressedOffset + skipBytes
      assert.ok(bytes.equals(source.subarray(start, start + lengthBytes)))
    }),
    { numRuns: 300 },
  )
})

test('a span in the middle of which a member ends goes on in the next one', () => {
  const boundary = spans.find((span) => span.uncompressedOffset + span.uncompressedLength > 1_000_003)
  assert.ok(boundary !== undefined && boundary.uncompressedOffset < 1_000_003)
})

test('a span goes on after an input and a window that are longer than needed', async () => {
  const request = requestOf(spanWithWindow)
  const input = blob.subarray(Math.floor(spanWithWindow.compressedBitOffset / 8))
  const whole = Buffer.concat([
    Buffer.alloc(32_768 - spanWithWindow.windowLength),
    unpackedWindow(spanWithWindow.window, spanWithWindow.windowLength),
  ])
  const bytes = await inflateSpan({ ...request, input, window: packedWindow(whole), windowLength: 32_768 })
  assert.deepEqual(bytes, await inflateSpan(request))
})

test('a request with fractions and the like is INVALID', async () => {
  for (const change of [
    { bitOffset: 0.5 },
    { bitOffset: NaN },
    { windowLength: -1 },
    { windowLength: NaN },
    { skipBytes: -1 },
    { lengthBytes: Infinity },
  ]) {
    await assert.rejects(
      inflateSpan(requestOf(spanWithWindow, change)),
      (error: unknown) => hasCode(error, 'INVALID'),
      JSON.stringify(change),
    )
  }
})

test('a window keeps no byte that the span does not refer to', async () => {
  let kept = 0
  for (const span of spans.filter((one) => one.windowLength > 0)) {
    const window = unpackedWindow(span.window, span.windowLength)
    const expected = source.subarray(span.uncompressedOffset - window.length, span.uncompressedOffset)
    const used = [...window.keys()].filter((i) => window[i] !== 0)
    assert.ok(used.every((i) => window[i] === expected[i]))
    kept += used.length
    for (const i of used.filter((_, nth) => nth % 97 === 0)) {
      const changed = Buffer.from(window)
      changed[i] = (changed[i] ?? 0) ^ 0x55
      const request = requestOf(span, { window: packedWindow(changed) })
      await assert.rejects(inflateSpan(request), isCorrupt, `byte ${String(i)} of ${String(window.length)}`)
    }
  }
  assert.ok(kept > 1000, String(kept))
})

for (const codec of ['gzip', 'zstd'] as const)
  test(`what ${codec} is to read from a file says why it cannot be had, and is read when it can`, async (t) => {
    const { input, ...rest } = requestOf(spanWithWindow)
    const bytes = codec === 'gzip' ? input : zstdFrame(source)
    const expected = codec === 'gzip' ? await inflateSpan({ ...rest, input }) : source
    const path = join(await temporaryDirectory(t), 'part')
    await writeFile(path, bytes)
    const read = async (change: { readonly path?: string; readonly offset?: number } = {}): Promise<void> => {
      const target = Buffer.alloc(bytes.length)
      const files = [{ path, offset: 0, target, ...change }]
      const out = Buffer.alloc(expected.length)
      if (codec === 'gzip') await inflateSpan({ ...rest, input: target, files }, out)
      else await decodeZstdSpan({ input: target, files, skipBytes: 0, crc32: undefined }, out)
      assert.ok(out.equals(expected))
    }
    await read()
    await withoutDescriptors(async () => {
      await assert.rejects(read(), { code: 'UNREADABLE', message: new RegExp(`^${codec}: .*EMFILE`) })
    })
    await read()
    const reason = (code: string): object => ({
      code: 'CORRUPT',
      message: new RegExp(`^${codec}: .*${code}`),
    })
    await assert.rejects(read({ path: `${path}.other` }), reason('ENOENT'))
    await assert.rejects(read({ offset: 1 }), reason('ENODATA'))
    // Of a process nothing lies at its first addresses: reading there is EIO.
    await assert.rejects(read({ path: '/proc/self/mem' }), reason('EIO'))
  })
