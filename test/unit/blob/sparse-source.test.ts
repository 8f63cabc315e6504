import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SparseSource } from '../../../src/blob/sparse-source.js'
import { bytesSource } from '../../support/memory-images.js'

/** Gaps and lengths of regions, and a hole at the end. */
const sparseFile = fc
  .tuple(fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 40 })), { maxLength: 8 }), fc.nat(40))
  .map(([parts, tail]) => {
    const regions: number[] = []
    const stored: number[] = []
    const whole: number[] = []
    for (const [i, [gap, length]] of parts.entries()) {
      whole.push(...Array<number>(gap + (i > 0 ? 1 : 0)).fill(0))
      regions.push(whole.length, length)
      for (let at = 0; at < length; at++) stored.push((i * 41 + at) % 255 || 1)
      whole.push(...stored.slice(-length))
    }
    whole.push(...Array<number>(tail).fill(0))
    const expected = Buffer.from(whole)
    return {
      expected,
      source: new SparseSource(bytesSource(Buffer.from(stored)), expected.length, Float64Array.from(regions)),
    }
  })

test('any part of a sparse file reads as that of the whole, in memory of the reader too', async () => {
  await fc.assert(
    fc.asyncProperty(sparseFile, fc.nat(400), fc.nat(400), async ({ source, expected }, offset, length) => {
      const wanted = expected.subarray(offset, offset + length)
      assert.deepEqual(await source.read(offset, length), wanted)
      const scratch = Buffer.alloc(length, 0xee)
      assert.deepEqual(await source.read(offset, length, { scratch }), wanted)
    }),
    { numRuns: 500 },
  )
})

test('data and holes are found where they are', async () => {
  await fc.assert(
    fc.asyncProperty(sparseFile, fc.nat(400), fc.nat(400), async ({ source, expected }, a, b) => {
      const end = Math.min(Math.max(a, b), expected.length)
      const offset = Math.min(a, end)
      for (const whence of ['data', 'hole'] as const) {
        let found = offset
        while (found < end && (expected[found] === 0) === (whence === 'data')) found++
        assert.equal(await source.seek(whence, offset, end), found)
      }
    }),
    { numRuns: 500 },
  )
})
