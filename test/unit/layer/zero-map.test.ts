import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeZeros, encodeZeros } from '../../../src/layer/zero-codec.js'
import { shortestRunBytes, ZeroMap } from '../../../src/layer/zero-map.js'
import { hasCode } from '../../../src/util/errors.js'

const block = 512
const shortest = shortestRunBytes / block

/** true: a block of zeros. Runs of every length around the shortest that counts. */
const bitmaps = fc
  .array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 24 })), { maxLength: 30 })
  .map((runs) => runs.flatMap(([zero, length]) => Array.from({ length }, () => zero)))

interface Run {
  readonly start: number
  readonly end: number
}

function runsOf(bitmap: readonly boolean[]): readonly Run[] {
  const runs: Run[] = []
  for (let i = 0; i < bitmap.length; i++) {
    if (bitmap[i] !== true) continue
    const last = runs.at(-1)
    if (last?.end === i) runs[runs.length - 1] = { start: last.start, end: i + 1 }
    else runs.push({ start: i, end: i + 1 })
  }
  return runs.filter(({ start, end }) => end - start >= shortest)
}

/** The map of a bitmap, each run in pieces, as the scanner tells it. */
function mapOf(bitmap: readonly boolean[], pieceBlocks: number): ZeroMap {
  const map = new ZeroMap()
  for (const { start, end } of runsOf(bitmap)) {
    for (let at = start; at < end; at += pieceBlocks) {
      map.append(at * block, Math.min(pieceBlocks, end - at) * block)
    }
  }
  map.complete()
  return map
}

/** What the map is compared with: whether a byte lies in a hole. */
function holes(bitmap: readonly boolean[]): (byte: number) => boolean {
  const blocks = new Set(
    runsOf(bitmap).flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i)),
  )
  return (byte) => blocks.has(Math.floor(byte / block))
}

const pieces = fc.integer({ min: 1, max: 40 })

test('a map answers as a plain bitmap does', () => {
  fc.assert(
    fc.property(bitmaps, pieces, fc.nat(), fc.nat(), (bitmap, pieceBlocks, one, other) => {
      const map = mapOf(bitmap, pieceBlocks)
      const isHole = holes(bitmap)
      const size = bitmap.length * block
      if (size === 0) return
      const [offset, end] = [one % size, (other % size) + 1].sort((a, b) => a - b) as [number, number]
      const first = (wanted: boolean): number => {
        let at = offset
        while (at < end && isHole(at) !== wanted) at = Math.min(end, (Math.floor(at / block) + 1) * block)
        return at
      }
      assert.equal(map.seek('hole', offset, end), first(true))
      assert.equal(map.seek('data', offset, end), first(false))
      let zeros = 0
      for (let at = offset; at < end; at++) if (isHole(at)) zeros++
      assert.equal(map.zerosWithin(offset, end - offset), zeros)
      const [low, high] = [Math.floor(offset / block), Math.floor(end / block)]
      const within = runsOf(bitmap)
        .map(({ start, end: after }) => ({ start: Math.max(start, low), end: Math.min(after, high) }))
        .filter(({ start, end: after }) => after > start)
        .map(({ start, end: after }) => ({ offset: start * block, length: (after - start) * block }))
      assert.deepEqual(map.within(offset, end), within)
    }),
  )
})

test('while it grows a map says no more than it will say in the end', () => {
  fc.assert(
    fc.property(bitmaps, fc.nat(), fc.nat(), (bitmap, cut, at) => {
      const size = bitmap.length * block
      if (size === 0) return
      const frontier = cut % (bitmap.length + 1)
      const whole = mapOf(bitmap, 1000)
      const map = new ZeroMap()
      for (const { start, end } of runsOf(bitmap.slice(0, frontier)))
        map.append(start * block, (end - start) * block)
      map.advance(frontier * block)
      const offset = at % size
      const data = map.dataFrom(offset)
      if (data !== undefined) assert.equal(data, whole.dataFrom(offset))
      const hole = map.holeFrom(offset)
      // Data may seem to end where knowledge does; a hole is never missed on the way there.
      if (hole !== undefined) assert.ok(hole <= (whole.holeFrom(offset) ?? 0))
      if (map.zerosAt(offset) > 0) assert.ok(whole.zerosAt(offset) >= map.zerosAt(offset))
    }),
  )
})

test('a map that is full lets go of its shortest runs, and never takes data for zeros', () => {
  const map = new ZeroMap(16)
  const runs = Array.from({ length: 200 }, (_, n) => ({
    offset: n * 100 * block,
    length: (8 + (n % 50)) * block,
  }))
  for (const { offset, length } of runs) map.append(offset, length)
  assert.ok(map.count <= 16 && map.count > 0, String(map.count))
  for (const run of map.runs())
    assert.ok(runs.some(({ offset, length }) => offset === run.offset && length === run.length))
})

test('runs come back from their bytes', () => {
  fc.assert(
    fc.property(bitmaps, (bitmap) => {
      const runs = [...mapOf(bitmap, 1000).runs()]
      assert.deepEqual([...decodeZeros(encodeZeros(runs), bitmap.length * block)], runs)
    }),
  )
})

test('hostile bytes give runs in order within the tar, or CORRUPT', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat({ max: 1_000_000 }), (bytes, tarBytes) => {
      let end = -1
      try {
        for (const run of decodeZeros(Buffer.from(bytes), tarBytes)) {
          assert.ok(run.length > 0 && run.offset % block === 0 && run.length % block === 0)
          assert.ok(run.offset > end || (end === -1 && run.offset === 0))
          end = run.offset + run.length
          assert.ok(end <= tarBytes)
        }
      } catch (error) {
        assert.ok(hasCode(error, 'CORRUPT'), String(error))
      }
    }),
  )
})

test('each lie about runs of zeros is CORRUPT', () => {
  const tarBytes = 100 * block
  const lies: [string, number[]][] = [
    ['beyond the end', [90, 11]],
    ['begins beyond the end', [101, 1]],
    ['no length', [5, 0]],
    ['two that touch', [0, 8, 0, 8]],
    ['no length at all', [5]],
    ['a number that does not end', [5, 0x80]],
  ]
  for (const [lie, bytes] of lies) {
    assert.throws(
      () => [...decodeZeros(Buffer.from(bytes), tarBytes)],
      (error) => hasCode(error, 'CORRUPT'),
      lie,
    )
  }
  assert.deepEqual(
    [...decodeZeros(Buffer.from([90, 10]), tarBytes)],
    [{ offset: 90 * block, length: 10 * block }],
  )
})
