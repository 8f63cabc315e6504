import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { layerFixture, type LayerFixture } from './layer-fixture.js'
import { oneBlock } from './one-block.js'
import { sampleData } from './sample-data.js'
import { file } from './tar-of.js'

/** So much text comes before that the pass sets a point at the one block, whose matches then need its window. */
const textBytes = 2_380_000
const blockBytes = 512

/** A layer of one file, `disk`, of which all but the start lies in one deflate block. `start`: of that, in the tar. */
export async function longSpanLayer(
  t: TestContext,
  bytes: number,
): Promise<{ readonly fixture: LayerFixture; readonly start: number }> {
  const size = textBytes + oneBlock(bytes).source.length
  const header = file('disk', Buffer.alloc(size)).bytes.subarray(0, blockBytes)
  const { source, blob } = oneBlock(bytes, Buffer.concat([header, sampleData('text', textBytes)]))
  const end = Buffer.alloc(((blockBytes - (size % blockBytes)) % blockBytes) + 2 * blockBytes)
  const fixture = await layerFixture(t, Buffer.concat([source, end]), Buffer.concat([blob, gzipSync(end)]))
  return { fixture, start: blockBytes + textBytes + 32_768 }
}
