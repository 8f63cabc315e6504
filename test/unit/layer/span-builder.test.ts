import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { Inflations } from '../../../src/layer/inflations.js'
import { spanKey } from '../../../src/layer/kept-spans.js'
import { SpanBuilder } from '../../../src/layer/span-builder.js'

const digest = 'sha256:00'

/** Blocks of 1000 bytes that are shown to the builder, of two spans of 3000 bytes. */
function keptOf(shown: readonly number[]): readonly (number | undefined)[] {
  const memory = new MemoryCache(64 << 20)
  const builder = new SpanBuilder(digest, memory, new Inflations())
  for (const block of [0, 1, 2, 3, 4, 5]) {
    const uncompressedOffset = block * 1000
    if (shown.includes(block)) builder.add(Buffer.alloc(1000, block + 1), { uncompressedOffset, zero: false })
    if (block % 3 === 2) builder.cut(uncompressedOffset + 1000)
  }
  return [0, 3000].map((offset) => memory.peek(spanKey(digest, offset))?.bytes.length)
}

test('a span that was seen whole is kept', () => {
  assert.deepEqual(keptOf([0, 1, 2, 3, 4, 5]), [3000, 3000])
})

test('a span of which somebody saw a part only is not', () => {
  assert.deepEqual(keptOf([0, 1, 3, 4, 5]), [undefined, 3000])
  assert.deepEqual(keptOf([0, 2, 4, 5]), [undefined, undefined])
  assert.deepEqual(keptOf([1, 2, 3]), [undefined, undefined])
})
