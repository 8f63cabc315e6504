import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { output, run } from '../support/mounted.js'
import { complaints, mountImages } from '../support/registryfs.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }

test('storms of ls -lR and find cost one GET of a manifest for each image, for good', options, async (t) => {
  const registry = await FakeRegistry.start({ auth: {}, faults: { redirect: 'cdn' } })
  t.after(async () => registry.stop())
  const tags = ['v1', 'v2', 'v3']
  for (const tag of tags)
    registry.addImage('team/disk', tag, { layers: [gzipLayer(tarOf(dir('disk/'), file('disk/f', tag)))] })
  const cache = join(await temporaryDirectory(t), 'cache')
  const images = tags.map((tag) => `${tag}=${registry.host}/team/disk:${tag}`)
  const count = (kind: string, method: string, status: number): number =>
    registry.requests.filter((one) => one.kind === kind && one.method === method && one.status === status)
      .length
  for (const round of ['cold', 'warm']) {
    registry.forgetRequests()
    const mount = await mountImages(t, { cache, images })
    // The names below the host too: the same images once more.
    const paths = [...tags, ...tags.map((tag) => `${registry.host}/team/disk:${tag}`)]
    for (let i = 0; i < 5; i++) {
      const listed = await Promise.all(
        paths.flatMap((path) => [
          output('ls', '-lR', join(mount.path, path)),
          output('find', join(mount.path, path), '-type', 'f', '-size', '+0'),
        ]),
      )
      assert.ok(listed.every((text) => /\/disk(:|\/f)/.test(text)))
    }
    assert.equal(count('manifest', 'GET', 200), round === 'cold' ? tags.length : 0)
    // A warm mount checks each tag once within --tag-ttl.
    assert.equal(count('manifest', 'HEAD', 200), round === 'cold' ? 0 : tags.length)
    assert.ok(registry.requests.every(({ kind, method }) => kind === 'manifest' || method === 'GET'))
    assert.ok(registry.requests.every(({ kind, authorized }) => kind !== 'cdn' || !authorized))
    assert.equal(await mount.stop(), 0)
    assert.deepEqual(complaints(mount.log()), [])
  }
})

test(
  'a mount outlives its registry: what is cached is read, the rest says what is not reached, until it is',
  options,
  async (t) => {
    const registry = await FakeRegistry.start({ auth: {} })
    t.after(async () => registry.stop())
    for (const tag of ['one', 'two'])
      registry.addImage('disk', tag, { layers: [gzipLayer(tarOf(file('f', tag)))] })
    const cache = join(await temporaryDirectory(t), 'cache')
    const images = ['one', 'two'].map((tag) => `${tag}=${registry.host}/disk:${tag}`)
    const mount = await mountImages(t, { cache, images, flags: ['--tag-ttl', '1s'] })
    assert.equal(await output('cat', join(mount.path, 'one/f')), 'one')
    // The status is made anew every second or two.
    const until = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(await output('cat', join(mount.path, '.registryfs/status.json')))) await sleep(100)
    }
    const failures = [
      { status: 503, errno: 'Input/output error' },
      // The credentials are dead.
      { status: 401, errno: 'Permission denied' },
    ]
    for (const { status, errno } of failures) {
      registry.tokens.expireAll()
      registry.faults = { failing: { kind: 'any', status, times: Infinity } }
      await sleep(1100)
      assert.equal(await output('cat', join(mount.path, 'one/f')), 'one')
      const other = await run('cat', [join(mount.path, 'two/f')])
      assert.match(other.stderr, new RegExp(`two/f: ${errno}`))
      await until(
        new RegExp(`"reference": "${registry.host}/disk:one",[^}]*"reason": "[^"]*${String(status)}`),
      )
    }
    registry.faults = {}
    await sleep(2100)
    assert.equal(await output('cat', join(mount.path, 'two/f')), 'two')
    assert.equal(await output('cat', join(mount.path, 'one/f')), 'one')
    await until(/"uncheckedTags": \[\]/)
    assert.equal(await mount.stop(), 0)
  },
)
