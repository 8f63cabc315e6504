import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { gzipLayer, imageOf } from '../support/images.js'
import { layersOf, randomImage } from '../support/random-image.js'
import { mountImages } from '../support/registryfs.js'
import { tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'
import { differencesOf, Walker, writeImages } from '../support/umoci.js'

/** The same ones each time. */
const imageCount = 5

test('random images look the same through a mount as umoci unpacks them', { timeout: 120_000 }, async (t) => {
  const seed = Number(process.env['SEED'] ?? 1)
  t.diagnostic(`SEED=${String(seed)}`)
  const files = await temporaryDirectory(t)
  const oci = join(files, 'oci')
  const samples = fc.sample(randomImage, { seed, numRuns: imageCount })
  const images = samples.map((steps) =>
    imageOf({ layers: layersOf(steps).map((parts) => gzipLayer(tarOf(...parts))) }),
  )
  await writeImages(oci, images)
  const walker = new Walker(t, join(files, 'walk'))
  const tags = images.map((_, i) => `i${String(i)}`)
  const mount = await mountImages(t, {
    cache: join(files, 'cache'),
    images: tags.map((tag) => `${tag}=oci:${oci}:${tag}`),
  })
  let compared = 0
  for (const tag of tags) {
    const expected = await walker.unpacked(`${oci}:${tag}`, join(files, 'bundle'))
    if (typeof expected === 'string') continue
    assert.equal(
      differencesOf(expected, await walker.walk(join(mount.path, tag))),
      '',
      `${tag}, SEED=${String(seed)}`,
    )
    compared += expected.length
  }
  assert.ok(compared > 0)
  assert.equal(await mount.stop(), 0)
})
