import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { constants, gunzipSync, gzipSync } from 'node:zlib'
import { allocateSlots, openPass, type PassEvent } from '../../src/native.js'
import { sampleData } from '../support/sample-data.js'

/** Pushes the pieces one by one, each when nothing more comes of the one before; how much output each has made. */
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
    let pushed = 0
    for (const piece of pieces) {
      pushed += piece.length
      pass.push(piece)
      for (let before = -1; before !== events.length;) {
        before = events.length
        await sleep(100)
      }
      const last = events.filter((event) => event.kind === 'block').at(-1)
      totals.push(last === undefined ? 0 : last.uncompressedOffset + last.length)
      assert.deepEqual(
        events.filter((event) => event.kind === 'failure'),
        [],
      )
      // What was inflated and hashed may be used again, also while the input runs dry.
      const consumed = events.filter((event) => event.kind === 'consumed').at(-1)
      assert.equal(consumed?.compressedBytes, pushed)
    }
    return totals
  } finally {
    pass.close()
  }
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
  const available = gunzipSync(first, { finishFlush: constants.Z_SYNC_FLUSH }).length
  for (const missing of [1, 100, 257, 258, 500]) {
    const totals = await outputAfterEach([first, blob.subarray(first.length)], available - missing)
    assert.deepEqual(totals, [available, source.length], `${String(missing)} bytes more than a slot`)
  }
})
