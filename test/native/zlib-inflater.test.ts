import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { constants, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { inflateSpan } from '../../src/native.js'
import { gzipMember, gzipWithFlushes } from '../support/gzip-shapes.js'
import { runPass, type PassOutcome, type RunOptions } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'
import { spanRequest } from '../support/span-request.js'

/** Passes with both inflaters find the same, and each span inflates with both. */
async function checkBoth(blob: Buffer, source: Buffer, options: RunOptions = {}): Promise<PassOutcome> {
  const own = await runPass(blob, options)
  const zlib = await runPass(blob, { ...options, zlib: true })
  assert.deepEqual({ ...zlib.last, decodeSeconds: 0 }, { ...own.last, decodeSeconds: 0 })
  assert.ok(zlib.last.kind === 'end', JSON.stringify(zlib.last))
  assert.deepEqual(zlib.last.tarSha256, createHash('sha256').update(source).digest())
  assert.ok(zlib.output.equals(source))
  assert.deepEqual(zlib.spans, own.spans)
  assert.deepEqual(
    zlib.checkpoints.map(({ uncompressedOffset }) => uncompressedOffset),
    own.checkpoints.map(({ uncompressedOffset }) => uncompressedOffset),
  )
  for (const span of zlib.spans) {
    const end = span.uncompressedOffset + span.uncompressedLength
    const bytes = await inflateSpan(spanRequest(blob, span, { zlib: true }))
    assert.ok(bytes.equals(source.subarray(span.uncompressedOffset, end)))
    const skipBytes = Math.floor(span.uncompressedLength / 3)
    const lengthBytes = span.uncompressedLength - 2 * skipBytes
    const piece = await inflateSpan(
      spanRequest(blob, span, { zlib: true, skipBytes, lengthBytes, crc32: undefined }),
    )
    assert.ok(piece.equals(bytes.subarray(skipBytes, skipBytes + lengthBytes)))
  }
  return zlib
}

for (const kind of ['random', 'text', 'sparse', 'mixed'] as const) {
  test(`${kind} data of any level has the same points and bytes with zlib as with our decoder`, async () => {
    const source = sampleData(kind, 1_200_000)
    for (const level of [0, 1, 6, 9]) await checkBoth(gzipSync(source, { level }), source)
    await checkBoth(gzipSync(source, { strategy: constants.Z_FIXED }), source)
  })
}

test('flushes, header fields, members, empty ones too, and padding are the same to zlib', async () => {
  const source = sampleData('mixed', 900_000)
  for (const flush of [constants.Z_SYNC_FLUSH, constants.Z_FULL_FLUSH])
    await checkBoth(await gzipWithFlushes(source, 50_000, flush), source)
  const fields = { extra: Buffer.from('extra'), name: 'name', comment: 'comment', headerCrc: true }
  await checkBoth(gzipMember(source, fields), source)
  const parts = [
    source.subarray(0, 1),
    source.subarray(1, 1),
    source.subarray(1, 400_000),
    source.subarray(400_000),
  ]
  await checkBoth(Buffer.concat([...parts.map((part) => gzipMember(part)), Buffer.alloc(1000)]), source)
})

test('pieces and slots of any size are the same to zlib', async () => {
  const source = sampleData('mixed', 300_000)
  const blob = gzipSync(source)
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 320, max: 100_000 }),
      async (pieceBytes, slotBytes) => {
        await checkBoth(blob, source, { pieceBytes, slotBytes })
      },
    ),
    { numRuns: 20 },
  )
})

test('a pass of one inflater goes on at any checkpoint of the other', async () => {
  const source = sampleData('mixed', 2_000_000)
  const blob = Buffer.concat([gzipSync(source.subarray(0, 1_300_000)), gzipSync(source.subarray(1_300_000))])
  for (const zlib of [false, true]) {
    const whole = await runPass(blob, { zlib, checkpointBytes: 1 })
    assert.ok(whole.checkpoints.length > 8)
    for (const resume of whole.checkpoints) {
      const rest = await runPass(blob, { zlib: !zlib, resume, checkpointBytes: 1, pieceBytes: 33_333 })
      assert.deepEqual({ ...rest.last, decodeSeconds: 0 }, { ...whole.last, decodeSeconds: 0 })
      assert.ok(rest.output.equals(source.subarray(resume.uncompressedOffset)))
      const after = whole.spans.filter((span) => span.uncompressedOffset >= resume.uncompressedOffset)
      assert.deepEqual(rest.spans, after)
    }
  }
})

test('it is zlib: its output ends where it must, ours with the match that it is in', async () => {
  const blob = gzipSync(sampleData('text', 200_000))
  const longest = async (zlib: boolean): Promise<number> => {
    const { events } = await runPass(blob, { zlib, slotBytes: 1000 })
    return Math.max(...events.map((event) => (event.kind === 'block' ? event.length : 0)))
  }
  // kMaximumOverrun (native/block_inflater.h) before the end of the slot.
  assert.equal(await longest(true), 740)
  assert.ok((await longest(false)) > 740)
})

test('damage anywhere ends the same way with zlib', async () => {
  const blob = gzipSync(sampleData('mixed', 40_000))
  await fc.assert(
    fc.asyncProperty(fc.nat(blob.length - 1), fc.nat(7), fc.boolean(), async (at, bit, isCut) => {
      const damaged = Buffer.from(isCut ? blob.subarray(0, at) : blob)
      if (!isCut) damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << bit), at)
      const own = await runPass(damaged)
      const zlib = await runPass(damaged, { zlib: true })
      const words = ({ last }: PassOutcome): string => (last.kind === 'failure' ? last.message : last.kind)
      assert.equal(words(zlib), words(own))
      if (own.last.kind === 'end') assert.ok(zlib.output.equals(own.output))
    }),
    { numRuns: 150 },
  )
})
