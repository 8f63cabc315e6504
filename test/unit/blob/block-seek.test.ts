import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seekBlocks } from '../../../src/blob/block-seek.js'
import { seekSource } from '../../../src/blob/seek.js'
import type { ByteSource } from '../../../src/blob/source.js'
import { bytesSource } from '../../support/memory-images.js'

const block = 4096

/** Holes where the ranges say so, at any bytes. */
function holed(size: number, holes: readonly (readonly [start: number, end: number])[]): ByteSource {
  return {
    size,
    read: async () => Promise.reject(new Error('nobody reads')),
    seek: async (whence, offset, end) => {
      const isHole = (at: number): boolean => holes.some(([from, to]) => at >= from && at < to)
      const edges = [offset, ...holes.flat().filter((edge) => edge > offset)].sort((a, b) => a - b)
      const found = edges.find((edge) => edge < end && isHole(edge) === (whence === 'hole'))
      return Promise.resolve(found ?? end)
    },
  }
}

/** By each block: whether any byte of it is data. */
function expected(
  source: ByteSource,
  holes: readonly (readonly [number, number])[],
  whence: string,
  offset: number,
): number {
  const isData = (n: number): boolean => {
    let data = n * block
    const end = Math.min(data + block, source.size)
    for (const [from, to] of [...holes].sort(([a], [b]) => a - b)) if (from <= data && to > data) data = to
    return data < end
  }
  for (let n = Math.floor(offset / block); n * block < source.size; n++)
    if (isData(n) === (whence === 'data')) return Math.max(offset, n * block)
  return source.size
}

const file = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 1, max: 20_000 })), {
      maxLength: 8,
    }),
    fc.nat(9000),
  )
  .map(([parts, tail]) => {
    const holes: (readonly [number, number])[] = []
    let at = 0
    for (const [data, hole] of parts) {
      holes.push([at + data, at + data + hole])
      at += data + hole
    }
    return { holes, source: holed(at + tail, holes) }
  })

test('data and holes are whole blocks of the file, wherever a source has them', async () => {
  await fc.assert(
    fc.asyncProperty(file, fc.nat(200_000), async ({ holes, source }, place) => {
      if (source.size === 0) return
      const offset = place % source.size
      for (const whence of ['data', 'hole'] as const)
        assert.equal(
          await seekBlocks(source, whence, offset),
          expected(source, holes, whence, offset),
          whence,
        )
    }),
    { numRuns: 2000 },
  )
})

test('a source that knows of no holes is data up to its end', async () => {
  const source = bytesSource(Buffer.alloc(10_000))
  assert.equal(await seekBlocks(source, 'data', 5000), 5000)
  assert.equal(await seekBlocks(source, 'hole', 5000), 10_000)
})

test('holes without a whole block are none, however many, and others have their turn meanwhile', async () => {
  const size = 5000 * block
  let asked = 0
  const source: ByteSource = {
    ...holed(size, []),
    // From the second byte of each block to the last but one.
    seek: async (whence, offset, end) => {
      asked++
      const at = offset % block
      const isHole = at > 0 && at < block - 1
      const next =
        whence === 'hole'
          ? isHole
            ? offset
            : offset - at + (at === 0 ? 1 : block + 1)
          : offset - at + block - 1
      return Promise.resolve(Math.min(whence === 'data' && !isHole ? offset : next, end))
    },
  }
  const controller = new AbortController()
  const seeking = seekBlocks(source, 'hole', 0, { signal: controller.signal })
  setImmediate(() => {
    controller.abort()
  })
  await assert.rejects(seeking, { code: 'ABORTED' })
  assert.ok(asked < 5000, String(asked))
  assert.equal(await seekSource(source, 'hole', 0, size), 1)
  assert.equal(await seekBlocks(source, 'hole', 0), size)
})
