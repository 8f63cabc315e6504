import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { constants, crc32, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  allocateSlots,
  chunkSeal,
  inflateSpan,
  openPass,
  type InflatePass,
  type PassEvent,
  type SpanEvent,
} from '../../src/native.js'
import { chunkBytes, runPass, type PassOutcome, type RunOptions } from '../support/run-pass.js'
import { gzipMember, gzipWithFlushes } from '../support/gzip-shapes.js'
import { sampleData } from '../support/sample-data.js'

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

async function inflate(
  blob: Buffer,
  span: SpanEvent,
  skipBytes = 0,
  lengthBytes = span.uncompressedLength,
): Promise<Buffer> {
  const start = Math.floor(span.compressedBitOffset / 8)
  return inflateSpan({
    input: blob.subarray(start, Math.ceil(span.compressedBitEnd / 8)),
    bitOffset: span.compressedBitOffset % 8,
    atHeader: span.atHeader,
    window: span.window,
    windowLength: span.windowLength,
    skipBytes,
    lengthBytes,
    crc32: skipBytes === 0 && lengthBytes === span.uncompressedLength ? span.crc32 : undefined,
  })
}

/** The whole contract: output, hashes, spans without gaps, each of which inflates by itself. */
async function check(source: Buffer, blob: Buffer, options: RunOptions = {}): Promise<PassOutcome> {
  const outcome = await runPass(blob, options)
  const { last, spans, events } = outcome
  assert.equal(last.kind, 'end', JSON.stringify(last))
  assert.ok(outcome.output.equals(source), 'the output differs')
  assert.deepEqual(last.blobSha256, sha256(blob))
  assert.deepEqual(last.tarSha256, sha256(source))
  assert.equal(last.compressedBytes, blob.length)
  let offset = 0
  let bit = 0
  for (const span of spans) {
    assert.equal(span.uncompressedOffset, offset)
    assert.ok(span.compressedBitOffset >= bit)
    const expected = source.subarray(offset, offset + span.uncompressedLength)
    assert.equal(span.crc32, crc32(expected))
    assert.ok((await inflate(blob, span)).equals(expected), `span at ${String(offset)}`)
    const skip = Math.floor(span.uncompressedLength / 3)
    assert.ok(
      (await inflate(blob, span, skip, span.uncompressedLength - 2 * skip)).equals(
        expected.subarray(skip, expected.length - skip),
      ),
    )
    offset += span.uncompressedLength
    bit = span.compressedBitEnd
  }
  assert.equal(offset, source.length)
  const chunks = events.filter((event) => event.kind === 'chunk')
  assert.equal(chunks.length, Math.ceil(blob.length / chunkBytes))
  for (const { index, seal } of chunks) {
    const bytes = blob.subarray(index * chunkBytes, (index + 1) * chunkBytes)
    assert.deepEqual(chunkSeal(bytes, chunks[index - 1]?.seal, { index, chunkBytes }), seal)
  }
  if (blob.length % chunkBytes > 0) assert.deepEqual(chunks.at(-1)?.seal, sha256(blob))
  for (const [at, event] of events.entries()) {
    if (event.kind !== 'checkpoint') continue
    const before = events.slice(0, at).filter((one) => one.kind === 'span')
    const wanted = spans.filter((span) => span.uncompressedOffset < event.uncompressedOffset)
    assert.deepEqual(before.slice(0, wanted.length), wanted, 'a checkpoint comes before its spans')
  }
  const consumed = events.filter((event) => event.kind === 'consumed')
  assert.equal(consumed.at(-1)?.compressedBytes, blob.length)
  return outcome
}

const kinds = ['random', 'text', 'sparse', 'mixed'] as const

for (const kind of kinds) {
  for (const level of [0, 1, 6, 9]) {
    test(`${kind} data at gzip level ${String(level)} comes out whole, and every span inflates alone`, async () => {
      const source = sampleData(kind, 1_500_000)
      const { spans } = await check(source, gzipSync(source, { level }))
      if (kind !== 'sparse' || level === 0) assert.ok(spans.length > 8, `${String(spans.length)} spans`)
      assert.ok(spans.slice(1).every((span) => span.uncompressedLength <= 1_500_000))
    })
  }
}

for (const [name, strategy] of [
  ['fixed codes', constants.Z_FIXED],
  ['Huffman only', constants.Z_HUFFMAN_ONLY],
  ['run lengths', constants.Z_RLE],
] as const) {
  test(`an encoder that uses ${name} is read`, async () => {
    const source = sampleData('mixed', 900_000)
    await check(source, gzipSync(source, { strategy }))
  })
}

test('a gzip with sync and full flushes, as pigz writes them, is read', async () => {
  const source = sampleData('text', 2_000_000)
  for (const flush of [constants.Z_SYNC_FLUSH, constants.Z_FULL_FLUSH]) {
    await check(source, await gzipWithFlushes(source, 131_072, flush))
  }
})

test('several members are one stream, with points at member starts where they are due', async () => {
  const source = sampleData('mixed', 1_200_000)
  const members = [0, 300_000, 300_001, 800_000].map((start, i, all) =>
    gzipSync(source.subarray(start, all[i + 1])),
  )
  const { spans } = await check(source, Buffer.concat(members))
  assert.ok(spans.some((span) => span.atHeader && span.uncompressedOffset > 0))
})

test('many tiny members, as bgzf writes them, do not make a span each', async () => {
  const source = sampleData('text', 1_000_000)
  const members: Buffer[] = []
  for (let start = 0; start < source.length; start += 5000)
    members.push(gzipSync(source.subarray(start, start + 5000)))
  const { spans } = await check(source, Buffer.concat([...members, gzipSync(Buffer.alloc(0))]))
  assert.ok(spans.length < 20, `${String(spans.length)} spans`)
})

test('every header field of RFC 1952 is read past, however the pieces fall', async () => {
  const source = sampleData('text', 5000)
  for (const fields of [
    { extra: Buffer.from('BC\x02\x00\x1b\x00') },
    { name: 'layer.tar' },
    { comment: 'a comment' },
    { headerCrc: true },
    { extra: Buffer.alloc(0) },
    { extra: Buffer.alloc(60_000, 7), name: 'n', comment: 'c', headerCrc: true },
  ]) {
    for (const pieceBytes of [1, 7, 65_536]) {
      await check(source, Buffer.concat([gzipMember(source, fields), gzipMember(Buffer.alloc(0), fields)]), {
        pieceBytes,
      })
    }
  }
})

for (const [what, padding] of [
  ['zeros', Buffer.alloc(3000)],
  ['text', Buffer.from('trailing text')],
  ['a single magic byte', Buffer.from([0x1f])],
  ['half a magic', Buffer.from([0x1f, 0x00, 0x08, 0x00])],
] as const) {
  test(`${what} after the last member are padding: hashed, not inflated`, async () => {
    const source = sampleData('text', 200_000)
    await check(source, Buffer.concat([gzipSync(source), padding]))
  })
}

test('an empty member is an empty tar', async () => {
  const { spans } = await check(Buffer.alloc(0), gzipSync(Buffer.alloc(0)))
  assert.equal(spans.length, 0)
})

test('the size of the pieces makes no difference', async () => {
  const source = sampleData('mixed', 120_000)
  const blob = gzipSync(source)
  const whole = await check(source, blob)
  for (const pieceBytes of [1, 2, 3, 1000, 4096]) {
    const pieces = await check(source, blob, { pieceBytes })
    assert.deepEqual(
      pieces.spans.map(({ uncompressedOffset, crc32: sum }) => [uncompressedOffset, sum]),
      whole.spans.map(({ uncompressedOffset, crc32: sum }) => [uncompressedOffset, sum]),
    )
  }
})

test('windows hold only what is referred to, and are smaller for it', async () => {
  const source = sampleData('sparse', 24_000_000)
  const { spans } = await check(source, gzipSync(source, { level: 6 }), { minimumCompressedBytes: 1 })
  const bytes = spans.reduce((sum, span) => sum + span.window.length, 0)
  assert.ok(spans.length > 8, `${String(spans.length)} spans`)
  assert.ok(bytes / spans.length < 3000, `${String(bytes / spans.length)} bytes a window`)
  const random = sampleData('random', 2_000_000)
  const stored = await check(random, gzipSync(random, { level: 0 }))
  assert.ok(stored.spans.every((span) => span.windowLength === 0))
})

test('little between zeros comes out whole and is hashed in its place, wherever it lies', async () => {
  const pieces = fc.array(
    fc.tuple(
      fc.oneof(fc.nat(9000), fc.nat(300_000), fc.constantFrom(4096, 48 << 10)),
      fc.oneof(fc.nat(600), fc.nat(9000)),
    ),
    { maxLength: 60 },
  )
  await fc.assert(
    fc.asyncProperty(pieces, async (layout) => {
      const parts = layout.flatMap(([zeros, data]) => [Buffer.alloc(zeros), Buffer.alloc(data, 1)])
      const source = Buffer.concat([...parts, Buffer.alloc(1)])
      await check(source, gzipSync(source, { level: 1 }))
    }),
    { numRuns: 40 },
  )
})

test('zeros are told without a slot, and a pass with one comes to their end', async () => {
  const slots = allocateSlots(1, 64 << 10)
  const dataBytes = 200_000
  const source = Buffer.concat([Buffer.alloc(64 << 20), randomBytes(dataBytes), Buffer.alloc(8 << 20)])
  let zeroBytes = 0
  let pass: InflatePass | undefined
  const last = await new Promise<PassEvent>((resolve) => {
    pass = openPass({
      ...{ spacingBytes: 1 << 20, minimumCompressedBytes: 4 << 10, maximumSpanBytes: 4 << 20 },
      ...{ checkpointBytes: 32 << 20, chunkBytes, slots },
      onEvents: (events) => {
        for (const event of events) {
          if (event.kind === 'block') {
            const end = event.uncompressedOffset + event.length
            const isBetween = end > 64 << 20 && event.uncompressedOffset < (64 << 20) + dataBytes
            assert.equal(event.zero, !isBetween)
            assert.equal(event.slot, event.zero ? -1 : 0)
            if (event.zero) zeroBytes += event.length
            else pass?.releaseSlot(event.slot)
          } else if (event.kind === 'end' || event.kind === 'failure') resolve(event)
        }
      },
    })
    pass.push(gzipSync(source, { level: 1 }))
    pass.finish()
  })
  pass?.close()
  assert.equal(last.kind, 'end')
  assert.ok(zeroBytes > (64 + 7) << 20)
  assert.deepEqual(last.tarSha256, sha256(source))
})

test('the digest of the blob is told before the end where hashing the tar is as far behind as asked for', async () => {
  const blob = gzipSync(Buffer.concat([randomBytes(100_000), Buffer.alloc(8 << 20)]), { level: 1 })
  const { events, last } = await runPass(blob, { lagBytes: 0, sha512: true })
  const at = events.findIndex(({ kind }) => kind === 'blob')
  const told = events[at]
  assert.ok(told?.kind === 'blob' && last.kind === 'end')
  assert.deepEqual(told.blobSha256, sha256(blob))
  assert.deepEqual([told.blobSha512, told.uncompressedBytes], [last.blobSha512, last.uncompressedBytes])
  // All blocks were told by then.
  assert.ok(!events.slice(at).some(({ kind }) => kind === 'block' || kind === 'zeros'))
  const never = await runPass(blob, { lagBytes: 1 << 30 })
  assert.ok(!never.events.some(({ kind }) => kind === 'blob'))
})

test('a thousandfold bomb keeps its spans bounded and needs no memory', async () => {
  const zeros = Buffer.alloc(64 << 20)
  const blob = gzipSync(zeros)
  const before = process.memoryUsage.rss()
  const { spans, last } = await runPass(Buffer.concat([blob, blob, blob, blob]), {
    keepOutput: false,
    slotBytes: 1 << 20,
  })
  assert.equal(last.kind, 'end')
  assert.ok(spans.every((span) => span.uncompressedLength <= 8 << 20))
  assert.ok(process.memoryUsage.rss() - before < 64 << 20)
})

test('blobs of any shape from any encoder come out as zlib has them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(
          fc.constantFrom(...kinds),
          fc.integer({ min: 0, max: 300_000 }),
          fc.integer({ min: 0, max: 9 }),
        ),
        { minLength: 1, maxLength: 4 },
      ),
      fc.integer({ min: 100, max: 200_000 }),
      async (members, pieceBytes) => {
        const parts = members.map(([kind, bytes], i) => sampleData(kind, bytes, i + 1))
        const blob = Buffer.concat(parts.map((part, i) => gzipSync(part, { level: members[i]?.[2] ?? 6 })))
        await check(Buffer.concat(parts), blob, { pieceBytes })
      },
    ),
    { numRuns: 25 },
  )
})

test('a pass that resumes at any checkpoint ends with the same proof and the same spans', async () => {
  const source = sampleData('mixed', 3_000_000)
  const blob = Buffer.concat([
    gzipSync(source.subarray(0, 1_700_000)),
    gzipSync(source.subarray(1_700_000)),
    Buffer.alloc(99),
  ])
  const whole = await check(source, blob, { checkpointBytes: 1 })
  assert.ok(whole.checkpoints.length > 10)
  assert.ok(new Set(whole.checkpoints.map((one) => one.compressedBitOffset % 8)).size > 3)
  for (const checkpoint of whole.checkpoints) {
    const rest = await runPass(blob, { resume: checkpoint, checkpointBytes: 1, pieceBytes: 77_777 })
    assert.deepEqual({ ...rest.last, decodeSeconds: 0 }, { ...whole.last, decodeSeconds: 0 })
    assert.ok(rest.output.equals(source.subarray(checkpoint.uncompressedOffset)))
    assert.deepEqual(
      rest.spans,
      whole.spans.filter((span) => span.uncompressedOffset >= checkpoint.uncompressedOffset),
    )
    const chunks = rest.events.filter((event) => event.kind === 'chunk')
    const first = Math.floor(Math.floor(checkpoint.compressedBitOffset / 8) / chunkBytes)
    assert.deepEqual(
      chunks,
      whole.events.filter((event) => event.kind === 'chunk' && event.index >= first),
    )
  }
})
