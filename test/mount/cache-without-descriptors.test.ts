import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { run, type Mounted } from '../support/mounted.js'
import {
  blobBytesSent,
  mountImages,
  sha256Of,
  sha256sum,
  statusOf,
  untilReady,
} from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const disk = sampleData('text', 24 << 20)
const layer = gzipLayer(tarOf(dir('disk/'), file('disk/disk.img', disk)))

/** Of indexes and chunks: names and digests. */
async function kept(cache: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const folder of ['indexes', 'chunks'])
    for (const entry of await readdir(join(cache, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isFile()) found.set(path, sha256Of(await readFile(path)))
    }
  return found
}

/** New descriptors are below this; those that are open stay. */
function limitDescriptors(mount: Mounted, count: number): void {
  const args = ['--pid', String(mount.pid), `--nofile=${String(count)}:`]
  assert.equal(spawnSync('prlimit', args).status, 0)
}

test(
  'a mount that is out of descriptors says so to who reads, gives up nothing of its cache, and serves it later',
  { timeout: 120_000 },
  async (t) => {
    const registry = await FakeRegistry.start()
    t.after(async () => registry.stop())
    const { digest } = registry.addImage('disk', 'v1', { layers: [layer] })
    const cache = join(await temporaryDirectory(t), 'cache')
    // Which no registry is asked for again.
    const image = `${registry.host}/disk@${digest}`
    const images = [`disk=${image}`]
    const first = await mountImages(t, { cache, images })
    assert.equal(await sha256sum(join(first.path, 'disk/disk/disk.img')), sha256Of(disk))
    await untilReady(first)
    assert.equal(await first.stop(), 0)
    const before = await kept(cache)
    assert.ok(before.size > 3)
    const sent = blobBytesSent(registry)

    const mount = await mountImages(t, { cache, images })
    const path = join(mount.path, 'disk/disk/disk.img')
    assert.equal((await run('stat', [path])).code, 0)
    limitDescriptors(mount, 3)
    // Again and again, and far from the start, whose span has no window.
    for (let i = 0; i < 3; i++) {
      const reading = await run('dd', [`if=${path}`, 'of=/dev/null', 'bs=4k', 'skip=4096', 'count=1'])
      assert.match(reading.stderr, /Input\/output error/)
    }
    const told = await run('getfattr', ['--only-values', '-n', 'user.registryfs.error', path])
    assert.match(told.stdout, /the index file .*\.idx cannot be read now: .*\(EMFILE\)/)
    assert.ok(told.stdout.includes(`image ${image}`), told.stdout)
    assert.match(told.stdout, /layer sha256:/)
    assert.deepEqual(await kept(cache), before)
    limitDescriptors(mount, 4096)
    assert.equal(await sha256sum(path), sha256Of(disk))
    assert.equal(blobBytesSent(registry), sent)
    assert.deepEqual(
      (await statusOf(mount)).images.flatMap(({ layers }) => layers).map(({ state }) => state),
      ['ready'],
    )
    assert.deepEqual(await kept(cache), before)
    assert.equal(await mount.stop(), 0)
  },
)
