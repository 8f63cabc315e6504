import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { SpanStream } from '../../src/layer/span-stream.js'
import type { SpanEvent } from '../../src/native.js'
import { hasCode } from '../../src/util/errors.js'
import { gzipMember } from '../support/gzip-shapes.js'
import { runPass } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'

const source = sampleData('mixed', 1_500_000)
const cuts = [0, 700_000, 700_001, 700_001, 1_000_003]
const blob = Buffer.concat(
  cuts.map((at, i) =>
    gzipMember(source.subarray(at, cuts[i + 1]), {
      name: 'a name',
      extra: Buffer.alloc(300),
      headerCrc: true,
    }),
  ),
)
const { spans } = await runPass(blob)

function startOf(span: SpanEvent): Parameters<SpanStream['begin']>[0] & { readonly input: Buffer } {
  const { atHeader, window, windowLength, compressedBitOffset } = span
  return {
    bitOffset: compressedBitOffset % 8,
    atHeader,
    window,
    windowLength,
    zlib: false,
    input: blob.subarray(Math.floor(compressedBitOffset / 8)),
  }
}

test('a stream gives the same wherever its input and what is wanted of it are cut', async () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(
      fc.nat(spans.length - 1),
      lengths,
      fc.array(fc.tuple(fc.boolean(), fc.nat(70_000)), { minLength: 1, maxLength: 30 }),
      fc.boolean(),
      async (index, inputs, wants, zlib) => {
        const span = spans[index] as SpanEvent
        const { input, ...start } = startOf(span)
        const stream = new SpanStream()
        await stream.begin({ ...start, zlib })
        let taken = 0
        let made = span.uncompressedOffset
        let turn = 0
        for (const [isSkipped, bytes] of wants) {
          const wanted = Math.min(bytes, source.length - made)
          const target = Buffer.alloc(isSkipped ? 0 : wanted)
          for (let done = 0; done < wanted;) {
            const piece = input.subarray(taken, taken + (inputs[turn++ % inputs.length] ?? 1))
            const skipBytes = isSkipped ? wanted - done : 0
            const step = await stream.decode(piece, skipBytes, target.subarray(isSkipped ? 0 : done))
            assert.ok(step.taken + step.skipped + step.made > 0)
            taken += step.taken
            done += step.skipped + step.made
          }
          if (!isSkipped) assert.ok(target.equals(source.subarray(made, made + wanted)))
          made += wanted
        }
        stream.close()
      },
    ),
    { numRuns: 150 },
  )
})

test('a whole span has its CRC-32, skipped or not', async () => {
  for (const span of spans) {
    for (const skipBytes of [0, 1, span.uncompressedLength]) {
      const { input, ...start } = startOf(span)
      const stream = new SpanStream()
      await stream.begin(start)
      const target = Buffer.alloc(span.uncompressedLength - skipBytes)
      const { skipped, made } = await stream.decode(input, skipBytes, target)
      assert.deepEqual([skipped, made], [skipBytes, target.length])
      assert.equal(stream.crc32, span.crc32)
    }
  }
})

test('a damaged window, damaged input, and a stream that is closed or has not begun are CORRUPT', async () => {
  const isCorrupt = (error: unknown): boolean => hasCode(error, 'CORRUPT')
  const { input, ...start } = startOf(spans.find((one) => one.windowLength > 1000) as SpanEvent)
  const window = Buffer.alloc(start.window.length, 0xff)
  await assert.rejects(new SpanStream().begin({ ...start, window }), isCorrupt)
  await assert.rejects(new SpanStream().begin({ ...start, windowLength: 40_000 }), isCorrupt)
  await assert.rejects(new SpanStream().decode(input, 0, Buffer.alloc(10)), isCorrupt)
  const stream = new SpanStream()
  await stream.begin(start)
  await assert.rejects(stream.decode(Buffer.alloc(1000, 0xff), 0, Buffer.alloc(100_000)), isCorrupt)
  stream.close()
  await assert.rejects(stream.decode(input, 0, Buffer.alloc(10)), isCorrupt)
  const member = new SpanStream()
  await member.begin({ ...start, atHeader: true })
  await assert.rejects(member.decode(gzipSync('a').subarray(1), 0, Buffer.alloc(10)), isCorrupt)
})
