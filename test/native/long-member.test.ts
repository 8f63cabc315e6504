import assert from 'node:assert/strict'
import { test } from 'node:test'
import { constants, crc32, createDeflateRaw } from 'node:zlib'
import { runPass } from '../support/run-pass.js'

test('a member of more than 4 GiB has its length modulo 2^32, and takes no memory', async () => {
  const part = Buffer.alloc(64 << 20)
  const flushed = await deflatedWithFullFlush(part)
  const copies = 65
  let sum = 0
  for (let i = 0; i < copies; i++) sum = crc32(part, sum)
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(sum, 0)
  trailer.writeUInt32LE((copies * part.length) % 2 ** 32, 4)
  const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
  // A last block with fixed codes and nothing in it.
  const big = Buffer.concat([
    header,
    ...Array.from({ length: copies }, () => flushed),
    Buffer.from([3, 0]),
    trailer,
  ])
  const before = process.memoryUsage.rss()
  const { last } = await runPass(big, {
    keepOutput: false,
    slotBytes: 1 << 20,
    spacingBytes: 1 << 20,
    maximumSpanBytes: 16 << 20,
    checkpointBytes: 256 << 20,
  })
  assert.equal(last.kind, 'end', JSON.stringify(last))
  assert.equal(last.uncompressedBytes, copies * part.length)
  if (process.env['REGISTRYFS_SANITIZED'] === undefined)
    assert.ok(process.memoryUsage.rss() - before < 64 << 20, String(process.memoryUsage.rss() - before))
})

/** Ends on a byte, without a final block, and refers to nothing before it: copies can follow each other. */
async function deflatedWithFullFlush(content: Buffer): Promise<Buffer> {
  const deflate = createDeflateRaw()
  const parts: Buffer[] = []
  deflate.on('data', (part: Buffer) => parts.push(part))
  deflate.write(content)
  await new Promise<void>((resolve) => {
    deflate.flush(constants.Z_FULL_FLUSH, resolve)
  })
  deflate.destroy()
  return Buffer.concat(parts)
}
