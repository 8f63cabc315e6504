import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync, inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { SeekTable } from '../../../src/layer/seek-table.js'
import { decodeSpans, encodeSpans, type StoredWindow } from '../../../src/layer/span-codec.js'

const row = fc.record({
  gapBits: fc.nat(7),
  bits: fc.nat(1 << 24),
  uncompressedLength: fc.integer({ min: 1, max: 2 ** 40 }),
  windowLength: fc.nat(32_768),
  window: fc.record({ bytes: fc.nat(65_535), crc32: fc.nat(0xffff_ffff) }),
  crc32: fc.nat(0xffff_ffff),
  atHeader: fc.boolean(),
  zero: fc.boolean(),
})
const none: StoredWindow = { bytes: 0, crc32: 0 }
const rows = fc.array(row, { maxLength: 200 })
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never

function tableOf(of: readonly Row[]): SeekTable {
  const spans = new SeekTable()
  let bit = 0
  for (const span of of) {
    const compressedBitOffset = bit + span.gapBits
    bit = compressedBitOffset + span.bits
    spans.append({
      ...span,
      compressedBitOffset,
      compressedBitEnd: bit,
      uncompressedOffset: spans.uncompressedBytes,
    })
  }
  return spans
}

const all = (spans: SeekTable): unknown[] => Array.from({ length: spans.count }, (_, i) => spans.get(i))
const blob = { codec: 'gzip', blobBytes: 2 ** 40 } as const

test('spans come back as they were written', () => {
  fc.assert(
    fc.property(rows, (of) => {
      const spans = tableOf(of)
      const windows = of.map(({ window }) => ({ ...window }))
      const decoded = decodeSpans(encodeSpans(spans, windows), blob)
      assert.deepEqual(all(decoded.spans), all(spans))
      assert.deepEqual(decoded.windows, windows)
    }),
  )
})

test('the spans of a frame go back to its start, in zstd only', () => {
  const spans = new SeekTable()
  const span = { uncompressedLength: 1 << 20, crc32: 1, windowLength: 0, atHeader: false, zero: false }
  for (const [uncompressedOffset, end] of [8000, 9600, 12_800].entries())
    spans.append({
      ...span,
      compressedBitOffset: 800,
      compressedBitEnd: end,
      uncompressedOffset: uncompressedOffset << 20,
    })
  const encoded = encodeSpans(spans, [none, none, none])
  assert.deepEqual(all(decodeSpans(encoded, { codec: 'zstd', blobBytes: 1600 }).spans), all(spans))
  assert.throws(() => decodeSpans(encoded, { codec: 'gzip', blobBytes: 1600 }), /they go back/)
  assert.throws(() => decodeSpans(encoded, { codec: 'zstd', blobBytes: 1599 }), /too large|beyond/)
})

test('a span that takes more than a pass lets it is an error, but for one within a zstd frame', () => {
  const longest = 8 * ((8 << 20) + 2 * 1000)
  const encoded = (bits: number): Buffer =>
    encodeSpans(
      tableOf([
        {
          ...{ gapBits: 0, bits, uncompressedLength: 1000, windowLength: 0 },
          ...{ window: none, crc32: 1, atHeader: false, zero: false },
        },
      ]),
      [none],
    )
  assert.equal(decodeSpans(encoded(longest), blob).spans.count, 1)
  assert.throws(() => decodeSpans(encoded(longest + 8), blob), /takes more/)
  assert.equal(decodeSpans(encoded(longest + 8), { ...blob, codec: 'zstd' }).spans.count, 1)
})

test('zeros cost next to nothing: a point in 4 MiB of them less than a byte but for its checksum', () => {
  const few = { bytes: 3, crc32: 0x12345678 }
  const spans = tableOf(
    Array.from({ length: 25_600 }, () => ({
      ...{ gapBits: 0, bits: 33_000, uncompressedLength: 4 << 20, windowLength: 32_768 },
      ...{ window: few, crc32: 0x12345678, atHeader: false, zero: true },
    })),
  )
  const encoded = encodeSpans(spans, new Array<StoredWindow>(25_600).fill(few))
  assert.ok(encoded.length < 25_600, String(encoded.length))
})

test('whatever else is there is an error, or spans that hold together', () => {
  fc.assert(
    fc.property(rows, fc.nat(), fc.nat(255), (of, at, value) => {
      const bytes = inflateSync(
        encodeSpans(
          tableOf(of),
          of.map((one) => one.window),
        ),
      )
      bytes[at % bytes.length] = value
      let spans: SeekTable
      try {
        spans = decodeSpans(deflateSync(bytes), blob).spans
      } catch {
        return
      }
      let end = 0
      for (let i = 0; i < spans.count; i++) {
        const span = spans.get(i)
        assert.ok(span.compressedBitOffset >= end && span.compressedBitEnd >= span.compressedBitOffset)
        assert.ok(span.windowLength <= 32_768 && span.compressedBitEnd <= blob.blobBytes * 8)
        end = span.compressedBitEnd
      }
    }),
  )
})
