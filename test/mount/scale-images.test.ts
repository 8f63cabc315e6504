import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipLayer } from '../support/images.js'
import { output } from '../support/mounted.js'
import { openDescriptors, residentMiB } from '../support/process-figures.js'
import { complaints, mountImages, sha256Of } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

/** `SCALE_IMAGES=10000` takes some minutes. */
const images = Number(process.env['SCALE_IMAGES'] ?? 1000)
const settled = images / 5
const inRepository = 50
const fileBytes = 64 << 10
/** What is known of an image for as long as the mount lives (25 KiB), and what the garbage collector leaves lying about. */
const mostGrowthMiB = 32 + (images - settled) * 0.04

/** sha256sum of one file in each, listed before as a user would. */
const openAll = `
ls -l "\${@/%//disk}" >/dev/null
sha256sum "\${@/%//disk/f}" | cut -d ' ' -f 1`

const contentOf = (n: number): Buffer => sampleData('random', fileBytes, n + 1)

test(
  `${String(images)} images in one mount: flat memory, few descriptors, and no request twice`,
  { timeout: 120_000 + images * 100 },
  async (t) => {
    const registry = await FakeRegistry.start({ auth: {} })
    t.after(async () => registry.stop())
    const names = Array.from({ length: images }, (_, n) => {
      const repository = `team-${String(Math.floor(n / inRepository))}/disk`
      const tag = `v${String(n)}`
      registry.addImage(repository, tag, {
        layers: [gzipLayer(tarOf(dir('disk/'), file('disk/f', contentOf(n))))],
      })
      return `${repository}:${tag}`
    })
    const mount = await mountImages(t, {
      cache: join(await temporaryDirectory(t), 'cache'),
      flags: ['--tag-ttl', '1h', '--memory', '16M'],
    })
    const figures: { mebibytes: number; descriptors: number }[] = []
    const open = async (from: number, to: number): Promise<void> => {
      const paths = names.slice(from, to).map((name) => join(mount.path, registry.host, name))
      const sums = await output('bash', '-euc', openAll, 'bash', ...paths)
      assert.deepEqual(
        sums.trim().split('\n'),
        names.slice(from, to).map((_, n) => sha256Of(contentOf(from + n))),
      )
      figures.push({
        mebibytes: await residentMiB(mount.pid, 'VmRSS'),
        descriptors: await openDescriptors(mount.pid),
      })
    }
    for (let from = 0; from < images; from += settled) await open(from, from + settled)
    // Those from the beginning are as well known as before.
    await open(0, settled)
    t.diagnostic(JSON.stringify(figures))
    const [first, last] = [figures[0], figures.at(-2)]
    assert.ok(first !== undefined && last !== undefined)
    assert.ok(last.mebibytes - first.mebibytes < mostGrowthMiB, 'memory grows')
    assert.ok(Math.max(...figures.map(({ descriptors }) => descriptors)) < 100, 'too many descriptors')

    const asked = new Map<string, number>()
    for (const { method, path, query, range, status, kind } of registry.requests) {
      assert.ok(status < 400 || status === 401, `${path}: ${String(status)}`)
      if (status === 401 || kind === 'token') continue
      const what = [method, path, query, range].join(' ')
      asked.set(what, (asked.get(what) ?? 0) + 1)
    }
    assert.deepEqual(
      [...asked].filter(([, times]) => times > 1),
      [],
    )
    // Manifest, config, layer; a token for a repository.
    assert.equal(asked.size, 3 * images)
    const tokens = registry.requests.filter(({ kind }) => kind === 'token').length
    assert.equal(tokens, images / inRepository)
    assert.equal(await mount.stop(), 0)
    assert.deepEqual(complaints(mount.log()), [])
  },
)
