import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { layerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { stopAt } from '../../support/stop-at.js'
import { file, tarOf } from '../../support/tar-of.js'

const tar = tarOf(file('a', sampleData('random', 40 << 20)), file('b', sampleData('mixed', 24 << 20)))

for (const zlib of [true, false]) {
  const [first, second] = zlib ? ['zlib', 'our decoder'] : ['our decoder', 'zlib']
  test(`what one inflater began, the other ends and reads: first ${first}, then ${second}`, async (t) => {
    const fixture = await layerFixture(t, tar)
    const began = await fixture.open({ zlib })
    let closed = (): void => undefined
    const closing = new Promise<void>((resolve) => (closed = resolve))
    fixture.blob.before = async (offset) => (offset < fixture.blob.size * 0.8 ? undefined : closing)
    const signal = stopAt(began, fixture.blob.size * 0.7)
    await began.until(() => undefined, { signal }).catch(() => undefined)
    const close = began.close()
    closed()
    await close
    fixture.blob.before = () => undefined
    await (await fixture.open({ zlib: !zlib })).ready()
    // It did go on.
    assert.ok(fixture.blob.fetchedBytes <= fixture.blob.size + (8 << 20))
    const fresh = await layerFixture(t, tar)
    await (await fresh.open({ zlib })).ready()
    const indexOf = async ({ directory }: typeof fresh): Promise<Buffer> =>
      readFile(join(directory, 'indexes', 'layer.idx'))
    assert.ok((await indexOf(fixture)).equals(await indexOf(fresh)), 'the indexes differ')
    const reader = await fixture.open({ zlib })
    for (let offset = 1000; offset < tar.length; offset += 3_333_333)
      assert.ok((await reader.read(offset, 70_000)).equals(tar.subarray(offset, offset + 70_000)))
  })
}
