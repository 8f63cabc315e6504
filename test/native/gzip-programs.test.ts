import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import type { Layer } from '../../src/layer/layer.js'
import { layerFixture } from '../support/layer-fixture.js'
import { sampleData } from '../support/sample-data.js'
import { file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

/** Long matches that differ everywhere: libdeflate makes one block of 300,000 of them. */
const repetitive = Buffer.alloc(40 << 20)
for (let at = 0; at < repetitive.length; at += 4096) repetitive.fill(`${String(at >> 16)}.`, at, at + 4096)

const tar = tarOf(
  file('mixed', sampleData('mixed', 6 << 20)),
  file('repetitive', repetitive),
  file('end', 'end'),
)
const small = tarOf(file('mixed', sampleData('mixed', 700_000)), file('end', 'end'))

async function assertReads(layer: Layer, expected: Buffer): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const offset = (i * 7_919_113) % (expected.length - 70_000)
    assert.ok(
      (await layer.read(offset, 65_536)).equals(expected.subarray(offset, offset + 65_536)),
      String(offset),
    )
  }
}

for (const [program, args, content] of [
  ['gzip', ['-1', '-c'], tar],
  ['gzip', ['-9', '--rsyncable', '-c'], tar],
  ['pigz', ['-6', '-p', '2', '-c'], tar],
  ['pigz', ['-6', '-i', '-b', '512', '-c'], tar],
  ['pigz', ['-0', '-c'], tar],
  ['libdeflate-gzip', ['-12', '-c'], tar],
  ['libdeflate-gzip', ['-1', '-c'], tar],
  ['bgzip', ['-c'], tar],
  ['pigz', ['-11', '-c'], small],
  ['zopfli', ['-c', '--i1'], small],
] as const) {
  test(`what ${program} ${args.join(' ')} writes is read, proven and found again`, async (t) => {
    // zopfli reads no pipe.
    const path = join(await temporaryDirectory(t), 'layer.tar')
    await writeFile(path, content)
    const { status, stdout, stderr } = spawnSync(program, [...args, path], { maxBuffer: 1 << 30 })
    assert.equal(status, 0, stderr.toString())
    const fixture = await layerFixture(t, content, stdout)
    const layer = await fixture.open()
    await layer.prove()
    await assertReads(layer, content)
    await assertReads(await fixture.open(), content)
    assert.equal(fixture.blob.fetchedBytes, stdout.length)
  })
}

test('one deflate block of 40 MiB is read in pieces, each right', async (t) => {
  // RFC 1951 3.2.6: a literal, then matches of 258 bytes at distance 1, all in one block with fixed codes.
  const bits: number[] = [1, 1, 0]
  const huffman = (code: number, length: number): void => {
    for (let i = length - 1; i >= 0; i--) bits.push((code >> i) & 1)
  }
  const matches = Math.ceil((40 << 20) / 258)
  const head = tarOf(file('a', '', { claimedSize: 1 + matches * 258 })).subarray(0, 512)
  for (const byte of head) {
    if (byte < 144) huffman(0x30 + byte, 8)
    else huffman(0x190 + byte - 144, 9)
  }
  huffman(0x30 + 97, 8)
  for (let i = 0; i < matches; i++) {
    huffman(0xc5, 8)
    huffman(0, 5)
  }
  huffman(0, 7)
  const deflated = Buffer.alloc(Math.ceil(bits.length / 8))
  for (const [i, bit] of bits.entries()) deflated[i >> 3] = (deflated[i >> 3] ?? 0) | (bit << (i & 7))
  const content = Buffer.concat([head, Buffer.alloc(1 + matches * 258, 'a')])
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc32(content), 0)
  trailer.writeUInt32LE(content.length, 4)
  const blob = Buffer.concat([Buffer.from('1f8b0800000000000003', 'hex'), deflated, trailer])
  const fixture = await layerFixture(t, content, blob)
  const layer = await fixture.open()
  await layer.ready()
  assert.equal((await layer.status()).seekPoints, 1)
  await assertReads(layer, content)
})
