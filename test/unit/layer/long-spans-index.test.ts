import assert from 'node:assert/strict'
import { readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { loadIndex } from '../../../src/layer/index-file.js'
import type { Layer } from '../../../src/layer/layer.js'
import { longestKeptSpanBytes } from '../../../src/layer/span-builder.js'
import { silentLogger } from '../../../src/util/log.js'
import { longSpanLayer } from '../../support/long-span-layer.js'

const longBytes = 56 << 20
const pieceBytes = 8 << 20
/** What is left of an index of a few spans: its sections, and none of its windows. */
const frontBytes = 4500

interface Fixture {
  readonly indexFile: string
  /** Of reads of four KiB in the long span: "right", or the reason why there was an error. */
  readonly read: (layer: Layer, at: number) => Promise<string>
  readonly open: () => Promise<Layer>
  readonly warnings: readonly string[]
}

/** A layer that a first pass has gone through, in a process before. */
async function setUp(t: TestContext): Promise<Fixture & Awaited<ReturnType<typeof longSpanLayer>>> {
  const made = await longSpanLayer(t, longBytes)
  const { fixture, start } = made
  await (await fixture.open()).ready()
  const warnings: string[] = []
  const log = { ...silentLogger, warn: (...words: unknown[]) => warnings.push(JSON.stringify(words)) }
  const open = async (): Promise<Layer> => {
    const layer = await fixture.open({ log })
    await layer.ready()
    return layer
  }
  const read = async (layer: Layer, at: number): Promise<string> =>
    layer.read(start + at, 4096).then(
      (bytes) => {
        assert.ok(bytes.equals(fixture.tar.subarray(start + at, start + at + 4096)), `bytes at ${String(at)}`)
        return 'right'
      },
      (error: unknown) => (error as Error).message,
    )
  return { ...made, indexFile: join(fixture.directory, 'indexes', 'layer.idx'), read, open, warnings }
}

async function flip(path: string, fromEnd: number): Promise<void> {
  const bytes = await readFile(path)
  const offset = bytes.length - fromEnd
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 0x10, offset)
  await writeFile(path, bytes)
}

test('the sample has a long span whose window is all that follows the front of its index file', async (t) => {
  const { fixture, indexFile, start } = await setUp(t)
  const { digest, size } = fixture.descriptor
  const loaded = await loadIndex(indexFile, { digest, blobBytes: size }, true)
  const { spans, windows } = loaded?.index ?? assert.fail()
  const long = spans.find(start) ?? assert.fail()
  assert.ok(spans.get(long).uncompressedLength > Math.max(longestKeptSpanBytes, 4 * pieceBytes))
  const window = windows.find(long)
  assert.ok(!Buffer.isBuffer(window) && window.offset <= frontBytes && window.length > 2 * frontBytes)
  assert.equal((await stat(indexFile)).size, window.offset + window.length)
})

/** Each leaves the file as no process of ours does: whoever has it loaded looks for windows in another one. */
const losses: readonly (readonly [string, RegExp, (path: string) => Promise<void>])[] = [
  ['deleted', /the index file [^ ]*layer\.idx is gone/, async (path) => rm(path)],
  [
    'cut off',
    /the index file [^ ]*layer\.idx is another one now/,
    async (path) => truncate(path, frontBytes),
  ],
  [
    'exchanged',
    /the index file [^ ]*layer\.idx is another one now/,
    async (path) => {
      await writeFile(`${path}.other`, Buffer.alloc((await stat(path)).size, 'not an index'))
      await rename(`${path}.other`, path)
    },
  ],
  ['damaged', /the index file [^ ]*layer\.idx is another one now/, async (path) => flip(path, 500)],
]

for (const [what, reason, lose] of losses) {
  test(`an index file that is ${what} before a long span begins costs a pass, and no reader an error`, async (t) => {
    const { fixture, indexFile, read, open, warnings } = await setUp(t)
    const layer = await open()
    await lose(indexFile)
    const places = Array.from({ length: 24 }, (_, i) => (i * 7_919_113) % (longBytes - 4096))
    const outcomes = await Promise.all(places.map(async (at) => read(layer, at)))
    assert.deepEqual(new Set(outcomes), new Set(['right']))
    assert.equal(warnings.length, 1, warnings.join('\n'))
    assert.match(warnings[0] ?? '', reason)
    await layer.ready()
    const { fetchedBytes } = fixture.blob
    // The index of that pass serves the next process.
    const reopened = await open()
    assert.equal(await read(reopened, 100), 'right')
    assert.equal(fixture.blob.fetchedBytes, fetchedBytes)
    assert.equal(warnings.length, 1)
  })

  test(`an index file that is ${what} while a long span is read is missed by nobody who reads on, and costs a pass where one goes back`, async (t) => {
    const { indexFile, read, open, warnings } = await setUp(t)
    const layer = await open()
    // So far ahead that what is passed is not kept.
    assert.equal(await read(layer, 5 * pieceBytes), 'right')
    await lose(indexFile)
    assert.equal(await read(layer, 6 * pieceBytes), 'right')
    assert.deepEqual(warnings, [])
    // Going back takes the window.
    const others = [1, 0, 2, 3].map(async (piece) => read(layer, piece * pieceBytes))
    assert.deepEqual(new Set(await Promise.all(others)), new Set(['right']))
    assert.match(warnings.join('\n'), reason)
    assert.equal(warnings.length, 1)
  })
}

test('a window that was damaged before is an error at the first byte that it takes, whichever bit it is', async (t) => {
  const { fixture, indexFile, read, open, warnings } = await setUp(t)
  const whole = await readFile(indexFile)
  for (const fromEnd of [20, 500, 2000, 9000]) {
    await writeFile(indexFile, whole)
    await flip(indexFile, fromEnd)
    const layer = await open()
    const { fetchedBytes } = fixture.blob
    assert.match(await read(layer, 100), /the window of a span is damaged/)
    assert.match(warnings.at(-1) ?? '', /dropping the index/)
    assert.equal(await read(layer, 100), 'right')
    // What the blob's chunks are is not doubted.
    assert.equal(fixture.blob.fetchedBytes, fetchedBytes)
    await layer.ready()
  }
})
