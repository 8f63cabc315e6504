import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inflateSpan, type SpanEvent } from '../../src/native.js'
import { decodeZstdSpan } from '../../src/zstd/zstd.js'
import {
  emptyBlocks,
  frameAround,
  framesAround,
  memberAround,
  membersAround,
  repeated,
} from '../support/empty-input.js'
import { runPass, type PassOutcome } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'
import { spanRequest } from '../support/span-request.js'
import { unpackedWindow } from '../support/sparse-window.js'

const maximumSpanBytes = 256 << 10
/** Behind one piece: several times what a span may take. */
const emptyBytes = 1 << 20
const pieces = [
  Buffer.from('A'),
  sampleData('text', 100_000),
  Buffer.from('B'),
  randomBytes(100_000),
  Buffer.from('the end'),
]
const source = Buffer.concat(pieces)

const gzips = {
  'empty stored blocks': memberAround(repeated(emptyBlocks.stored, emptyBytes), pieces),
  'empty fixed blocks': memberAround(repeated(emptyBlocks.fixed, emptyBytes), pieces),
  'empty members': membersAround(emptyBytes, pieces),
} as const

const zstds = {
  'empty blocks in one frame': frameAround(emptyBytes, pieces),
  'empty frames': framesAround(emptyBytes, pieces, 'empty'),
  'skippable frames': framesAround(emptyBytes, pieces, 'skippable'),
} as const

async function passOver(blob: Buffer, options = {}): Promise<PassOutcome> {
  const outcome = await runPass(blob, { maximumSpanBytes, checkpointBytes: 1, ...options })
  assert.equal(outcome.last.kind, 'end', JSON.stringify(outcome.last))
  assert.ok(outcome.output.equals(source), 'the output differs')
  return outcome
}

const contentOf = (span: SpanEvent): Buffer =>
  source.subarray(span.uncompressedOffset, span.uncompressedOffset + span.uncompressedLength)

const inputBytes = (span: SpanEvent): number =>
  Math.ceil(span.compressedBitEnd / 8) - Math.floor(span.compressedBitOffset / 8)

/** One more block, or a trailer and a header, may be begun before a span is too long. */
const longestInput = maximumSpanBytes + (100 << 10)

for (const [what, blob] of Object.entries(gzips)) {
  for (const zlib of [false, true]) {
    test(`${what} make no span of gzip long${zlib ? ', by zlib' : ''}, and each inflates by itself`, async () => {
      const { spans, checkpoints } = await passOver(blob, { zlib })
      assert.ok(
        spans.every((span) => inputBytes(span) <= longestInput),
        String(spans.map(inputBytes)),
      )
      for (const span of spans) {
        const request = spanRequest(blob, span)
        assert.ok((await inflateSpan(request)).equals(contentOf(span)))
        assert.ok((await inflateSpan({ ...request, zlib: true })).equals(contentOf(span)))
      }
      assert.ok(checkpoints.length > 0)
      for (const resume of checkpoints) {
        const { spans: rest, last } = await runPass(blob, { maximumSpanBytes, resume, zlib })
        assert.equal(last.kind, 'end', JSON.stringify(last))
        assert.deepEqual(
          rest.map(({ kind: _, ...span }) => span),
          spans
            .filter((span) => span.uncompressedOffset >= resume.uncompressedOffset)
            .map(({ kind: _, ...span }) => span),
        )
      }
    })
  }
}

test('the window of a point before more than 256 blocks is kept whole, for finding what it is for has an end', async () => {
  // Full flushes: nothing refers to anything before them.
  const data = [randomBytes(100_000), randomBytes(100_000), randomBytes(100_000)]
  const whole = Buffer.concat(data)
  for (const [blocks, windowLength] of [
    [200, 0],
    [300, 32_768],
  ] as const) {
    const empty = repeated(emptyBlocks.fixed, (blocks / 4) * emptyBlocks.fixed.length)
    const { spans } = await runPass(memberAround(empty, data), {
      maximumSpanBytes,
      spacingBytes: 99_000,
    })
    const points = spans.filter((span) => data.some((_, i) => span.uncompressedOffset === (i + 1) * 100_000))
    assert.equal(points.length, 2)
    for (const span of points) {
      assert.equal(span.windowLength, windowLength)
      if (windowLength === 0) continue
      const { uncompressedOffset } = span
      const window = unpackedWindow(span.window, windowLength)
      assert.ok(window.equals(whole.subarray(uncompressedOffset - windowLength, uncompressedOffset)))
    }
  }
})

for (const [what, blob] of Object.entries(zstds)) {
  test(`${what} make no span of zstd long that is decoded by itself`, async () => {
    const { spans } = await passOver(blob, { codec: 'zstd' })
    for (const span of spans) {
      const start = span.compressedBitOffset / 8
      const bytes = Buffer.alloc(span.uncompressedLength)
      if (span.atHeader) {
        assert.ok(inputBytes(span) <= longestInput + (256 << 10), String(inputBytes(span)))
        const input = blob.subarray(start, span.compressedBitEnd / 8)
        await decodeZstdSpan({ input, skipBytes: 0, crc32: span.crc32 }, bytes)
      } else {
        // From the first span that begins with this frame on.
        const first = spans.find((one) => one.compressedBitOffset === span.compressedBitOffset) as SpanEvent
        const skipBytes = span.uncompressedOffset - first.uncompressedOffset
        await decodeZstdSpan({ input: blob.subarray(start), skipBytes, crc32: span.crc32 }, bytes)
      }
      assert.ok(bytes.equals(contentOf(span)))
    }
  })
}
