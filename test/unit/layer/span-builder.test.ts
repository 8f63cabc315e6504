import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { keepSpan, spanKey } from '../../../src/layer/kept-spans.js'
import { SpanBuilder } from '../../../src/layer/span-builder.js'

const digest = 'sha256:00'
const mebibyte = 1 << 20
const spans = 300

/** Blocks of 1000 bytes that are shown to the builder, of two spans of 3000 bytes. */
function keptOf(shown: readonly number[]): readonly (number | undefined)[] {
  const memory = new MemoryCache(64 << 20)
  const builder = new SpanBuilder(digest, memory)
  for (const block of [0, 1, 2, 3, 4, 5]) {
    const uncompressedOffset = block * 1000
    if (shown.includes(block)) builder.add(Buffer.alloc(1000, block + 1), { uncompressedOffset, zero: false })
    if (block % 3 === 2) builder.cut(uncompressedOffset + 1000)
  }
  return [0, 3000].map((offset) => memory.peek(spanKey(digest, offset))?.bytes.length)
}

/** A pass over `spans` spans of 1 MiB; `after` is called with the number of each once it is over. */
function passOver(
  builder: SpanBuilder,
  after: (index: number) => void = () => undefined,
  blockBytes = mebibyte,
): void {
  for (let index = 0; index < spans; index++) {
    const start = index * mebibyte
    for (let at = 0; at < mebibyte; at += blockBytes)
      builder.add(Buffer.alloc(blockBytes, 1 + (index % 255)), {
        uncompressedOffset: start + at,
        zero: false,
      })
    builder.cut(start + mebibyte)
    after(index)
  }
}

function keptIn(memory: MemoryCache, of = digest): readonly number[] {
  return Array.from({ length: spans }, (_, index) => index).filter((index) =>
    memory.has(spanKey(of, index * mebibyte)),
  )
}

/** As a reader finds it, or nothing. */
function readFrom(memory: MemoryCache, index: number): number | undefined {
  return memory.find(spanKey(digest, index * mebibyte))?.bytes[0]
}

const first = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index)

test('a span that was seen whole is kept', () => {
  assert.deepEqual(keptOf([0, 1, 2, 3, 4, 5]), [3000, 3000])
})

test('a span of which somebody saw a part only is not', () => {
  assert.deepEqual(keptOf([0, 1, 3, 4, 5]), [undefined, 3000])
  assert.deepEqual(keptOf([0, 2, 4, 5]), [undefined, undefined])
  assert.deepEqual(keptOf([1, 2, 3]), [undefined, undefined])
})

test('who reads from the beginning once the pass is over finds as much of it as there is room for, without a gap', () => {
  for (const blockBytes of [mebibyte, mebibyte / 4]) {
    // Of three slabs of 32 MiB, 0.85.
    const memory = new MemoryCache(100 * mebibyte)
    const builder = new SpanBuilder(digest, memory)
    passOver(builder, undefined, blockBytes)
    builder.close()
    assert.deepEqual(keptIn(memory), first(81))
    assert.equal(memory.usedBytes, 81 * mebibyte)
    for (const index of keptIn(memory)) assert.equal(readFrom(memory, index), 1 + index)
  }
})

test('what such a reader inflates further on takes the place of what is furthest away, and not of what comes next', () => {
  const memory = new MemoryCache(100 * mebibyte)
  const builder = new SpanBuilder(digest, memory)
  passOver(builder)
  builder.close()
  for (let index = 200; index < 230; index++) {
    const lease = memory.pool.take(mebibyte)
    keepSpan(memory, digest, index * mebibyte, lease)
    lease.release()
  }
  const kept = keptIn(memory).filter((index) => index < 200)
  assert.deepEqual(kept, first(kept.length))
  assert.ok(kept.length >= 60, String(kept.length))
})

for (const distance of [0, 1, 8])
  test(`who follows a pass ${String(distance)} spans behind it finds every span, though the layer is larger than the memory`, () => {
    const memory = new MemoryCache(100 * mebibyte)
    const builder = new SpanBuilder(digest, memory)
    passOver(builder, (index) => {
      if (index >= distance) assert.equal(readFrom(memory, index - distance), 1 + ((index - distance) % 255))
    })
  })

test('who comes to the frontier late finds spans from then on, and the beginning is there still', () => {
  const memory = new MemoryCache(100 * mebibyte)
  const builder = new SpanBuilder(digest, memory)
  let found = 0
  passOver(builder, (index) => {
    if (index < 150) return
    if (readFrom(memory, index) !== undefined) found++
    else builder.follow(index * mebibyte)
  })
  assert.equal(found, spans - 151)
  assert.deepEqual(keptIn(memory).slice(0, 81), first(81))
})

test('a pass does not push out what another one keeps for its readers while it runs, and may afterwards', () => {
  const memory = new MemoryCache(100 * mebibyte)
  const builder = new SpanBuilder(digest, memory)
  passOver(builder)
  const other = 'sha256:11'
  passOver(new SpanBuilder(other, memory))
  assert.deepEqual(keptIn(memory), first(81))
  assert.deepEqual(keptIn(memory, other), [])
  builder.close()
  passOver(new SpanBuilder(other, memory))
  assert.deepEqual(keptIn(memory, other), first(81))
})
