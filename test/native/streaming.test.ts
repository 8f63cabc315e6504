import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { constants, gunzipSync, gzipSync } from 'node:zlib'
import { allocateSlots, openPass, type PassEvent } from '../../src/native.js'
import { sampleData } from '../support/sample-data.js'

/** Pushes the pieces one by one, each when all came that zlib has of those before; how much output each has made. */
async function outputAfterEach(pieces: readonly Buffer[], slotBytes = 48 << 10): Promise<number[]> {
  const events: PassEvent[] = []
  const pass = openPass({
    spacingBytes: 1 << 19,
    minimumCompressedBytes: 1,
    maximumSpanBytes: 1 << 20,
    checkpointBytes: 1 << 20,
    chunkBytes: 102_400,
    slots: allocateSlots(4, slotBytes),
    onEvents: (batch) => {
      events.push(...batch)
      for (const event of batch) if (event.kind === 'block') pass.releaseSlot(event.slot)
    },
  })
  try {
    const totals: number[] = []
    const outputBytes = (): number => {
      const last = events.filter((event) => event.kind === 'block').at(-1)
      return last === undefined ? 0 : last.uncompressedOffset + last.length
    }
    for (const [i, piece] of pieces.entries()) {
      pass.push(piece)
      const pushed = Buffer.concat(pieces.slice(0, i + 1))
      const available = availableIn(pushed)
      // What was inflated and hashed may be used again, also while the input runs dry.
      const isUsed = (): boolean =>
        events.some((event) => event.kind === 'consumed' && event.compressedBytes === pushed.length)
      for (let tries = 0; !isUsed() || outputBytes() < available; tries++) {
        assert.ok(tries < 1000, `${String(outputBytes())} of ${String(available)} bytes came`)
        await sleep(20)
      }
      totals.push(outputBytes())
      assert.deepEqual(
        events.filter((event) => event.kind === 'failure'),
        [],
      )
    }
    return totals
  } finally {
    pass.close()
  }
}

function availableIn(beginning: Buffer): number {
  return gunzipSync(beginning, { finishFlush: constants.Z_SYNC_FLUSH }).length
}

test('output is reported as soon as its input came', async () => {
  const source = sampleData('text', 300_000)
  const blob = gzipSync(source)
  const totals = await outputAfterEach([
    blob.subarray(0, 4000),
    blob.subarray(4000, 8000),
    blob.subarray(8000, -20),
    blob.subarray(-20),
  ])
  assert.ok((totals[0] ?? 0) > 1000 && (totals[1] ?? 0) > (totals[0] ?? 0) + 1000, totals.join(' '))
  assert.ok((totals[2] ?? 0) < source.length)
  assert.equal(totals[3], source.length)
})

test('nothing is kept back when input and room for output end together', async () => {
  // In a run of zeros a few bits stand for hundreds of bytes: inflate has taken them before there is room.
  const source = Buffer.alloc(1 << 20)
  const blob = gzipSync(source)
  const first = blob.subarray(0, 80)
  const available = availableIn(first)
  for (const missing of [1, 100, 257, 258, 500]) {
    const totals = await outputAfterEach([first, blob.subarray(first.length)], available - missing)
    assert.deepEqual(totals, [available, source.length], `${String(missing)} bytes more than a slot`)
  }
})
