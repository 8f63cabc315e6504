import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32, gzipSync } from 'node:zlib'
import type { FailureEvent } from '../../src/native.js'
import { hasCode } from '../../src/util/errors.js'
import { runPass, type RunOptions } from '../support/run-pass.js'
import { sampleData } from '../support/sample-data.js'

const source = sampleData('mixed', 300_000)
const blob = gzipSync(source)

async function failureOf(damaged: Buffer, options: RunOptions = {}): Promise<FailureEvent> {
  const { last } = await runPass(damaged, options)
  assert.equal(last.kind, 'failure', JSON.stringify(last))
  assert.equal(last.reason, 'corrupt')
  return last
}

function withByte(offset: number, value: number, of: Buffer = blob): Buffer {
  const copy = Buffer.from(of)
  copy[offset < 0 ? copy.length + offset : offset] = value
  return copy
}

test('a checkpoint whose hash states belong elsewhere is refused, also when its checksum is right', async () => {
  const { checkpoints } = await runPass(blob, { checkpointBytes: 1 })
  const [checkpoint] = checkpoints
  assert.ok(checkpoint !== undefined)
  const headBytes = 56
  const shaBytes = checkpoint.state.readUInt32LE(8)
  for (const start of [headBytes, headBytes + shaBytes]) {
    // The last two fields of SHA256_CTX: how full its buffer is, and the length of the digest.
    for (const field of [start + 32, start + shaBytes - 8, start + shaBytes - 4]) {
      const state = Buffer.from(checkpoint.state)
      state.writeUInt32LE(0x7fff_ffff, field)
      state.writeUInt32LE(crc32(state.subarray(0, -4)), state.length - 4)
      await assert.rejects(runPass(blob, { resume: { ...checkpoint, state } }), (error: unknown) =>
        hasCode(error, 'CORRUPT'),
      )
    }
  }
})

test('a resumed pass finds what is wrong behind its checkpoint, and before it', async () => {
  const { checkpoints } = await runPass(blob, { checkpointBytes: 1 })
  const resume = checkpoints.at(-1)
  assert.ok(resume !== undefined)
  assert.match((await failureOf(withByte(-6, 0), { resume })).message, /CRC-32/)
  assert.match((await failureOf(blob.subarray(0, -1), { resume })).message, /truncated/)
})
