import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Core } from '../../src/mount.js'
import { parseReference } from '../../src/registry/reference.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { openTestCore } from '../support/in-process-core.js'
import { file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }

test(
  'with all cached an image is read without its registry, the rest as soon as it is back',
  options,
  async (t) => {
    const fake = await FakeRegistry.start({ auth: {} })
    t.after(async () => fake.stop())
    for (const content of ['one', 'two'])
      fake.addImage('a', content, { layers: [gzipLayer(tarOf(file('f', content)))] })
    const directory = await temporaryDirectory(t)
    const contentOf = async (core: Core, tag: string): Promise<string | undefined> => {
      const image = await core.images.open(parseReference(`${fake.host}/a:${tag}`))
      const node = await image.root.lookup(Buffer.from('f'))
      return (await node?.open().read(0, 10))?.toString()
    }
    const before = await openTestCore(t, directory)
    await (await before.images.open(parseReference(`${fake.host}/a:one`))).index()
    await before.close()

    const core = await openTestCore(t, directory, { tagTtlMs: 0 })
    for (const status of [503, 401]) {
      fake.faults = { failing: { kind: 'any', status, times: Infinity } }
      assert.equal(await contentOf(core, 'one'), 'one')
      const { uncheckedTags } = await core.status()
      assert.equal(uncheckedTags.length, 1)
      assert.match(uncheckedTags[0]?.reason ?? '', new RegExp(String(status)))
      const code = status === 401 ? 'UNAUTHORIZED' : 'UNAVAILABLE'
      await assert.rejects(contentOf(core, 'two'), { code, image: /\/a:two$/ })
    }
    fake.faults = {}
    assert.equal(await contentOf(core, 'two'), 'two')
    assert.equal(await contentOf(core, 'one'), 'one')
    assert.deepEqual((await core.status()).uncheckedTags, [])
  },
)

test(
  'a registry is asked for each manifest once, for no blob by HEAD, and its storage learns no token',
  options,
  async (t) => {
    const fake = await FakeRegistry.start({ auth: {}, faults: { redirect: 'cdn' } })
    t.after(async () => fake.stop())
    const images = 5
    for (let i = 0; i < images; i++)
      fake.addImage('a', `v${String(i)}`, { layers: [gzipLayer(tarOf(file('f', `content ${String(i)}`)))] })
    const directory = await temporaryDirectory(t)
    const core = await openTestCore(t, directory, { tagTtlMs: 0 })
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        Array.from({ length: images }, async (_, i) => {
          const image = await core.images.open(parseReference(`${fake.host}/a:v${String(i)}`))
          const node = await image.root.lookup(Buffer.from('f'))
          assert.equal((await node?.open().read(0, 99))?.toString(), `content ${String(i)}`)
          await image.root.entries()
        }),
      )
    }
    const count = (kind: string, method: string, status: number): number =>
      fake.requests.filter((one) => one.kind === kind && one.method === method && one.status === status)
        .length
    assert.equal(count('manifest', 'GET', 200), images)
    assert.ok(count('manifest', 'HEAD', 200) > images)
    assert.ok(count('cdn', 'GET', 206) + count('cdn', 'GET', 200) >= images)
    assert.ok(fake.requests.every(({ kind, method }) => kind === 'manifest' || method === 'GET'))
    assert.ok(fake.requests.every(({ kind, authorized }) => kind !== 'cdn' || !authorized))
  },
)
