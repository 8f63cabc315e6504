import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateRawSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  allocateSlots,
  inflateSpan,
  openPass,
  type FailureEvent,
  type PassEvent,
  type PassOptions,
  type SpanEvent,
  type SpanRequest,
} from '../../src/native.js'
import { spanRequest } from '../support/span-request.js'
import { packedWindow } from '../support/sparse-window.js'
import { RegistryFsError } from '../../src/util/errors.js'
import { gzipMember } from '../support/gzip-shapes.js'
import { runPass, type PassOutcome, type RunOptions } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'

// REGISTRYFS_SEED repeats the run that a failure names.
const seed = Number(process.env.REGISTRYFS_SEED ?? Math.floor(Math.random() * 2 ** 31))
console.log(`# failures.test: REGISTRYFS_SEED=${String(seed)}`)

const small = Buffer.concat([sampleData('text', 250), sampleData('random', 50)])

async function failure(blob: Buffer, options: RunOptions = {}): Promise<FailureEvent & PassOutcome> {
  const outcome = await runPass(blob, options)
  const { last } = outcome
  if (last.kind !== 'failure') throw new assert.AssertionError({ message: `no failure, but ${last.kind}` })
  assert.equal(last.reason, 'corrupt')
  assert.ok(last.message.length > 0)
  assert.ok(last.compressedOffset >= 0 && last.compressedOffset <= blob.length)
  assert.ok(last.uncompressedOffset >= 0)
  return { ...outcome, ...last }
}

function flipped(blob: Buffer, bit: number): Buffer {
  const copy = Buffer.from(blob)
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return copy
}

test('a blob that ends after any of its bytes but the last is truncated', async () => {
  const blob = gzipMember(small, { extra: Buffer.from('xy'), name: 'name', comment: 'text', headerCrc: true })
  for (let length = 0; length < blob.length; length++) {
    const { message, compressedOffset } = await failure(blob.subarray(0, length))
    assert.match(message, length === 0 ? /empty/ : /truncated/)
    assert.equal(compressedOffset, length)
  }
  assert.equal((await runPass(blob)).last.kind, 'end')
})

test('a second member that ends early is truncated, once its magic was seen', async () => {
  const first = gzipSync(small)
  const blob = Buffer.concat([first, gzipSync(small)])
  for (let length = first.length + 2; length < blob.length; length++) {
    const { output } = await failure(blob.subarray(0, length))
    assert.ok(output.equals(Buffer.concat([small, small]).subarray(0, output.length)))
    assert.ok(output.length >= small.length)
  }
})

test('a large blob is truncated wherever it ends, and what came out before is right', async () => {
  const source = sampleData('mixed', 1_000_000)
  const blob = gzipSync(source)
  for (let length = 1; length < blob.length; length += 19_937) {
    const { output, spans, uncompressedOffset } = await failure(blob.subarray(0, length), {
      pieceBytes: 10_000,
    })
    assert.ok(output.equals(source.subarray(0, output.length)))
    assert.equal(uncompressedOffset, output.length)
    for (const span of spans)
      assert.ok(span.uncompressedOffset + span.uncompressedLength <= uncompressedOffset)
  }
})

test('the trailer is checked: CRC-32 and ISIZE, bit by bit, of every member', async () => {
  const member = gzipSync(small)
  const blob = Buffer.concat([member, member])
  for (const end of [member.length, blob.length]) {
    for (let bit = (end - 8) * 8; bit < end * 8; bit++) {
      const { message } = await failure(flipped(blob, bit))
      assert.match(message, bit < (end - 4) * 8 ? /CRC-32/ : /ISIZE/)
    }
  }
})

test('no flipped bit makes wrong bytes that end well', async () => {
  for (const level of [0, 1, 9]) {
    const padding = Buffer.alloc(20)
    const blob = Buffer.concat([gzipSync(small, { level }), padding])
    let passed = 0
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const { last, output } = await runPass(flipped(blob, bit))
      if (last.kind !== 'end') {
        assert.ok(last.kind === 'failure' && last.reason === 'corrupt', JSON.stringify(last))
        continue
      }
      assert.ok(output.equals(small), `bit ${String(bit)} at level ${String(level)}`)
      passed++
    }
    // MTIME, XFL, OS and FTEXT say nothing about the data, and neither does padding, unless it begins like a member;
    // so do the bits that fill up the byte before LEN, or before the trailer.
    assert.ok(passed >= (6 + padding.length) * 8 && passed <= (6 + padding.length) * 8 + 20, String(passed))
  }
})

test('what does not begin like a gzip is none, and says so', async () => {
  for (const blob of [
    Buffer.from('hello'),
    Buffer.from([0x1f, 0x8c, 8, 0]),
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]),
    Buffer.alloc(100_000),
  ]) {
    const { message, output } = await failure(blob)
    assert.match(message, /not a gzip/)
    assert.equal(output.length, 0)
  }
  assert.match((await failure(Buffer.from([0x1f, 0x8b, 7, 0, 0]))).message, /deflate/)
})

test('reserved flags, a wrong header CRC and an endless header are refused', async () => {
  const blob = gzipMember(small, { name: 'n', headerCrc: true })
  for (const flag of [5, 6, 7]) assert.match((await failure(flipped(blob, 3 * 8 + flag))).message, /flags/)
  for (let bit = 12 * 8; bit < 14 * 8; bit++)
    assert.match((await failure(flipped(blob, bit))).message, /header's CRC/)
  const endless = Buffer.alloc(1_100_000, 'x')
  Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]).copy(endless)
  assert.match((await failure(endless)).message, /1 MiB/)
})

test('nothing comes after a failure, also when nobody closes', async () => {
  const source = sampleData('mixed', 2_000_000)
  const blob = gzipSync(source, { level: 1 })
  const damaged = flipped(blob, (blob.length - 6) * 8)
  const events: PassEvent[] = []
  const slots = allocateSlots(40, 64 << 10)
  await new Promise<void>((resolve) => {
    const pass = openPass({
      spacingBytes: 64 << 10,
      minimumCompressedBytes: 1024,
      maximumSpanBytes: 1 << 20,
      checkpointBytes: 1,
      chunkBytes: 1024,
      slots,
      onEvents: (batch) => {
        events.push(...batch)
        for (const event of batch) if (event.kind === 'block') pass.releaseSlot(event.slot)
        if (batch.some((event) => event.kind === 'failure')) setTimeout(resolve, 100)
      },
    })
    pass.push(damaged)
    pass.finish()
  })
  assert.equal(events.at(-1)?.kind, 'failure')
  assert.equal(events.filter((event) => event.kind === 'failure').length, 1)
})

const source = Buffer.concat([sampleData('text', 400_000), sampleData('sparse', 200_000)])
const blob = gzipSync(source)

function request(span: SpanEvent, changes: Partial<SpanRequest> = {}): SpanRequest {
  return spanRequest(blob, span, changes)
}

const corrupt = (error: unknown): boolean =>
  error instanceof RegistryFsError && error.code === 'CORRUPT' && error.message.startsWith('gzip: ')

async function someSpans(): Promise<readonly SpanEvent[]> {
  const { spans } = await runPass(blob, { spacingBytes: 40_000, minimumCompressedBytes: 1 })
  assert.ok(spans.filter((span) => span.windowLength > 1000).length > 2)
  return spans
}

test('a span with a wrong CRC-32, less input, more output or another bit offset is corrupt', async () => {
  for (const span of await someSpans()) {
    const good = request(span)
    assert.equal((await inflateSpan(good)).length, span.uncompressedLength)
    await assert.rejects(inflateSpan({ ...good, crc32: (span.crc32 ^ 1) >>> 0 }), corrupt)
    for (const bytes of [0, 1, 5, good.input.length >> 1, good.input.length - 100])
      await assert.rejects(inflateSpan({ ...good, input: good.input.subarray(0, bytes) }), corrupt)
    await assert.rejects(
      inflateSpan({ ...good, bitOffset: (good.bitOffset + 1) % 8, atHeader: false }),
      corrupt,
    )
    await assert.rejects(
      inflateSpan({ ...good, lengthBytes: span.uncompressedLength + 1_000_000, crc32: undefined }),
      corrupt,
    )
    await assert.rejects(inflateSpan({ ...good, skipBytes: 2 ** 52, crc32: undefined }), corrupt)
  }
})

test('a span with a damaged window is corrupt', async () => {
  for (const span of (await someSpans()).filter((one) => one.windowLength > 1000)) {
    const good = request(span)
    await assert.rejects(inflateSpan({ ...good, window: Buffer.alloc(0) }), corrupt)
    await assert.rejects(inflateSpan({ ...good, window: span.window.subarray(0, -1) }), corrupt)
    await assert.rejects(inflateSpan({ ...good, window: sampleData('random', 4000) }), corrupt)
    await assert.rejects(inflateSpan({ ...good, windowLength: span.windowLength - 1 }), corrupt)
    await assert.rejects(inflateSpan({ ...good, windowLength: 0 }), corrupt)
    const other = packedWindow(Buffer.alloc(span.windowLength, 1))
    await assert.rejects(inflateSpan({ ...good, window: other }), corrupt)
  }
})

test('a span request out of range is refused before any thread sees it', async () => {
  const [span] = await someSpans()
  assert.ok(span)
  for (const changes of [
    { bitOffset: 8 },
    { bitOffset: -1 },
    { windowLength: 32_769 },
    { lengthBytes: -1 },
    { lengthBytes: 1.5 },
    { skipBytes: Number.NaN },
    { skipBytes: 2 ** 53 },
  ]) {
    await assert.rejects(inflateSpan(request(span, changes)), { code: 'INVALID' })
  }
})

test('garbage in a span request never crashes, and never makes bytes with the wrong CRC-32', async () => {
  const spans = await someSpans()
  const bytes = fc.uint8Array({ maxLength: 2000 }).map((array) => Buffer.from(array))
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        input: fc.oneof(
          bytes,
          // A gzip header, or a dynamic block, and then anything.
          bytes.map((rest) => Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), rest])),
          fc.tuple(fc.constantFrom(...spans), fc.nat(), fc.nat()).map(([span, bit, length]) => {
            const good = request(span).input
            return flipped(good, bit % (good.length * 8)).subarray(0, length % (2 * good.length))
          }),
        ),
        bitOffset: fc.integer({ min: 0, max: 7 }),
        atHeader: fc.boolean(),
        window: fc.oneof(
          bytes,
          bytes.map((content) => deflateRawSync(content)),
          bytes.map(packedWindow),
          fc.constantFrom(...spans.map((span) => span.window)),
        ),
        windowLength: fc.integer({ min: 0, max: 32_768 }),
        skipBytes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1_000_000 })),
        lengthBytes: fc.integer({ min: 1, max: 300_000 }),
        crc32: fc.oneof(fc.constant(undefined), fc.nat()),
      }),
      async (garbage) => {
        try {
          assert.equal((await inflateSpan(garbage)).length, garbage.lengthBytes)
          assert.equal(garbage.crc32, undefined)
        } catch (error) {
          if (!corrupt(error)) throw error
        }
      },
    ),
    { numRuns: 3000, seed },
  )
})

test('any damage to a blob: right bytes, or a failure', async () => {
  const members = [
    gzipSync(sampleData('text', 60_000)),
    gzipSync(sampleData('sparse', 90_000), { level: 1 }),
    gzipSync(sampleData('random', 20_000), { level: 0 }),
  ]
  for (const member of members) {
    const { output } = await runPass(member)
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ at: fc.nat(), cut: fc.nat({ max: 300 }), put: fc.uint8Array({ maxLength: 300 }) }),
          { minLength: 1, maxLength: 3 },
        ),
        fc.integer({ min: 1, max: 70_000 }),
        async (edits, pieceBytes) => {
          let damaged = member
          for (const { at, cut, put } of edits) {
            const start = at % damaged.length
            damaged = Buffer.concat([damaged.subarray(0, start), put, damaged.subarray(start + cut)])
            if (damaged.length === 0) return
          }
          const outcome = await runPass(damaged, {
            pieceBytes: Math.max(pieceBytes, damaged.length >> 8),
            spacingBytes: 5000,
            minimumCompressedBytes: 1,
          })
          if (outcome.last.kind === 'end') assert.ok(outcome.output.equals(output))
          else assert.ok(outcome.last.kind === 'failure' && outcome.last.reason === 'corrupt')
        },
      ),
      { numRuns: 300, seed },
    )
  }
})

test('bytes that are anything after a member: padding, or another member, or a failure', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.boolean(), async (bytes, magic) => {
      const rest = magic ? Buffer.concat([Buffer.from([0x1f, 0x8b, 8]), bytes]) : Buffer.from(bytes)
      const { last, output } = await runPass(Buffer.concat([gzipSync(small), rest]))
      assert.ok(output.subarray(0, small.length).equals(small))
      if (last.kind === 'end') assert.ok(!magic && output.length === small.length)
    }),
    { numRuns: 300, seed },
  )
})

test('a checkpoint that is damaged, cut, or of another place does not resume', async () => {
  const { checkpoints } = await runPass(blob, { checkpointBytes: 1 })
  const [checkpoint] = checkpoints
  assert.ok(checkpoint)
  const { state, compressedBitOffset, uncompressedOffset } = checkpoint
  const tryOut = (resume: PassOptions['resume']): void => {
    openPass({
      spacingBytes: 64 << 10,
      minimumCompressedBytes: 1,
      maximumSpanBytes: 64 << 10,
      checkpointBytes: 1,
      chunkBytes: 1024,
      slots: allocateSlots(1, 1000),
      resume,
      onEvents: () => undefined,
    }).close()
  }
  const refused = { code: 'CORRUPT', message: /checkpoint/ }
  tryOut(checkpoint)
  for (let bit = 0; bit < state.length * 8; bit += bit < 300 * 8 ? 1 : 1009)
    assert.throws(() => {
      tryOut({ ...checkpoint, state: flipped(state, bit) })
    }, refused)
  for (const length of [0, 1, 47, 48, 51, 52, 300, state.length - 1])
    assert.throws(() => {
      tryOut({ ...checkpoint, state: state.subarray(0, length) })
    }, refused)
  assert.throws(() => {
    tryOut({ ...checkpoint, state: Buffer.concat([state, Buffer.alloc(1)]) })
  }, refused)
  assert.throws(() => {
    tryOut({ state, uncompressedOffset, compressedBitOffset: compressedBitOffset + 1 })
  }, refused)
  assert.throws(() => {
    tryOut({ state, compressedBitOffset, uncompressedOffset: 0 })
  }, refused)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
      assert.throws(() => {
        tryOut({ ...checkpoint, state: Buffer.from(bytes) })
      }, refused)
    }),
    { numRuns: 200, seed },
  )
})
