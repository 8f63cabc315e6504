// The addon's decoder against Node's zlib, through the pass; decoder_fuzz.cc does the same without Node, faster.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { constants, crc32, deflateRawSync, inflateRawSync, type ZlibOptions } from 'node:zlib'
import fc from 'fast-check'
import { allocateSlots, openPass } from '../../src/native.js'
import { gzipWithFlushes } from '../support/gzip-shapes.js'
import { runPass, type PassOutcome, type RunOptions } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'

const kinds = ['random', 'text', 'sparse', 'mixed'] as const
const strategies = ['Z_DEFAULT_STRATEGY', 'Z_FILTERED', 'Z_HUFFMAN_ONLY', 'Z_RLE', 'Z_FIXED'] as const

const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])

async function passOver(stream: Buffer, options?: RunOptions): Promise<PassOutcome> {
  return runPass(Buffer.concat([header, stream]), options)
}

function gzipOf(stream: Buffer, content: Buffer): Buffer {
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc32(content), 0)
  trailer.writeUInt32LE(content.length, 4)
  return Buffer.concat([header, stream, trailer])
}

async function comesOut(stream: Buffer, content: Buffer, options?: RunOptions): Promise<void> {
  const { last, output } = await runPass(gzipOf(stream, content), options)
  assert.equal(last.kind, 'end', JSON.stringify(last))
  assert.ok(output.equals(content))
}

/** What zlib makes of as much of a stream as there is; or its words for what is wrong. */
function zlibOn(stream: Buffer): Buffer | string {
  try {
    return inflateRawSync(stream, { finishFlush: constants.Z_SYNC_FLUSH })
  } catch (error) {
    return (error as Error).message
  }
}

test('every level, strategy, window and memory of the encoder is read', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        kind: fc.constantFrom(...kinds),
        bytes: fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 1_000_000 })),
        level: fc.integer({ min: 0, max: 9 }),
        strategy: fc.constantFrom(...strategies),
        windowBits: fc.integer({ min: 9, max: 15 }),
        memLevel: fc.integer({ min: 1, max: 9 }),
      }),
      async ({ kind, bytes, strategy, ...others }) => {
        const options: ZlibOptions = { ...others, strategy: constants[strategy] }
        const content = sampleData(kind, bytes)
        await comesOut(deflateRawSync(content, options), content)
      },
    ),
    { numRuns: 150 },
  )
})

test('flush markers of every kind are read', async () => {
  const content = sampleData('mixed', 400_000)
  for (const flush of [constants.Z_PARTIAL_FLUSH, constants.Z_SYNC_FLUSH, constants.Z_FULL_FLUSH]) {
    const { output } = await runPass(await gzipWithFlushes(content, 3001, flush))
    assert.ok(output.equals(content))
  }
})

test('pieces and slots of any size make no difference', async () => {
  const content = Buffer.concat([
    sampleData('text', 9000),
    Buffer.alloc(3000),
    Buffer.alloc(3000, 'ab'),
    Buffer.alloc(3000, 'abcdefghijk'),
  ])
  const stream = deflateRawSync(content)
  for (let pieceBytes = 1; pieceBytes <= 40; pieceBytes++) await comesOut(stream, content, { pieceBytes })
  for (let slotBytes = 320; slotBytes <= 620; slotBytes += 3) await comesOut(stream, content, { slotBytes })
})

// From zlib's own test/infcover.c.
for (const [stream, words] of [
  ['00 00 00 00 00', 'invalid stored block lengths'],
  ['06', 'invalid block type'],
  ['fc 00 00', 'too many length or distance symbols'],
  ['04 00 fe ff', 'invalid code lengths set'],
  ['04 00 24 49 00', 'invalid bit length repeat'],
  ['04 00 24 e9 ff ff', 'invalid bit length repeat'],
  ['04 00 24 e9 ff 6d', 'invalid code -- missing end-of-block'],
  ['04 80 49 92 24 49 92 24 71 ff ff 93 11 00', 'invalid literal/lengths set'],
  ['04 80 49 92 24 49 92 24 0f b4 ff ff c3 84', 'invalid distances set'],
  ['04 c0 81 08 00 00 00 00 20 7f eb 0b 00 00', 'invalid literal/length code'],
  ['02 7e ff ff', 'invalid distance code'],
  ['0c c0 81 00 00 00 00 00 90 ff 6b 04 00', 'invalid distance too far back'],
] as const) {
  test(`${stream} has an ${words}`.replace('an too', 'too'), async () => {
    const bytes = Buffer.from(stream.replaceAll(' ', ''), 'hex')
    assert.equal(zlibOn(bytes), words)
    for (const tail of [0, 100]) {
      for (const pieceBytes of [1, 1000]) {
        const { last } = await passOver(Buffer.concat([bytes, Buffer.alloc(tail)]), { pieceBytes })
        assert.ok(last.kind === 'failure', JSON.stringify(last))
        assert.equal(last.message, words)
      }
    }
  })
}

for (const [stream, what] of [
  ['03 00', 'an empty fixed block'],
  ['01 01 00 fe ff 00', 'a stored byte'],
  ['05 c0 21 0d 00 00 00 80 b0 fe 6d 2f 91 6c', 'a precode with a repetition of 17'],
  ['05 e0 81 91 24 cb b2 2c 49 e2 0f 2e 8b 9a 47 56 9f fb fe ec d2 ff 1f', 'a long code'],
  ['ed c0 01 01 00 00 00 40 20 ff 57 1b 42 2c 4f', 'a length with extra bits and one distance code'],
  ['ed cf c1 b1 2c 47 10 c4 30 fa 6f 35 1d 01 82 59 3d fb be 2e 2a fc 0f 0c', 'a long distance'],
] as const) {
  test(`${what} is read as by zlib`, async () => {
    const bytes = Buffer.from(stream.replaceAll(' ', ''), 'hex')
    const content = zlibOn(bytes)
    assert.ok(typeof content !== 'string', String(content))
    await comesOut(bytes, content)
    await comesOut(bytes, content, { pieceBytes: 1 })
  })
}

test('what a stream has up to any of its bytes comes out, and no more', async () => {
  const content = Buffer.concat([sampleData('text', 700), Buffer.alloc(500), sampleData('random', 40)])
  const stream = deflateRawSync(content)
  for (let length = 0; length < stream.length; length++) {
    const { last, output } = await passOver(stream.subarray(0, length))
    assert.ok(last.kind === 'failure' && last.message.includes('truncated'), JSON.stringify(last))
    assert.deepEqual(output, zlibOn(stream.subarray(0, length)))
  }
})

test('a distance may reach the start of its member, not the member before', async () => {
  const content = Buffer.concat([sampleData('random', 400), sampleData('random', 400)])
  const first = content.subarray(0, 400)
  const whole = gzipOf(deflateRawSync(content), content)
  assert.equal((await runPass(whole)).last.kind, 'end')
  const reaching = deflateRawSync(first, { dictionary: first })
  assert.equal(zlibOn(reaching), 'invalid distance too far back')
  const { last } = await runPass(Buffer.concat([whole, gzipOf(reaching, first)]))
  assert.ok(last.kind === 'failure' && last.message === 'invalid distance too far back', JSON.stringify(last))
})

test('damage anywhere has the same end as in zlib, and the same words', async () => {
  const streams = [1, 6, 9].map((level) => deflateRawSync(sampleData('mixed', 5000), { level }))
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...streams),
      fc.array(fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }) }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 5000 }),
      async (stream, edits, pieceBytes) => {
        const damaged = Buffer.from(stream)
        for (const { at, byte } of edits) damaged[at % damaged.length] = byte
        const theirs = zlibOn(damaged)
        const { last, output } = await passOver(damaged, { pieceBytes })
        if (typeof theirs === 'string')
          assert.ok(last.kind === 'failure' && last.message === theirs, JSON.stringify(last))
        else assert.ok(last.kind === 'failure' && output.equals(theirs))
      },
    ),
    { numRuns: 500 },
  )
})

test('a million empty blocks keep a pass neither from ending nor from closing', async () => {
  // Those with fixed codes take ten bits: four to each five bytes.
  const empty = Buffer.alloc(2_250_000, Buffer.from([0x02, 0x08, 0x20, 0x80, 0x00]))
  const stream = Buffer.concat([empty, Buffer.from([3, 0])])
  const begun = performance.now()
  await comesOut(stream, Buffer.alloc(0))
  const onceMs = performance.now() - begun
  const pass = openPass({
    spacingBytes: 1,
    minimumCompressedBytes: 1,
    maximumSpanBytes: 1,
    checkpointBytes: 1,
    chunkBytes: 102_400,
    slots: allocateSlots(1, 1000),
    onEvents: () => undefined,
  })
  pass.push(header)
  // A hundred times what was read just now.
  for (let i = 0; i < 100; i++) pass.push(empty)
  const start = performance.now()
  pass.close()
  const closeMs = performance.now() - start
  assert.ok(closeMs < Math.max(200, 10 * onceMs), `${String(closeMs)} ms, ${String(onceMs)} ms for one`)
})
