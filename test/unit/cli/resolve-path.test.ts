import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { resolvePath } from '../../../src/cli/resolve-path.js'
import type { Image } from '../../../src/image/image.js'
import { MergedImage } from '../../../src/image/merged-image.js'
import { parseReference } from '../../../src/registry/reference.js'
import { Lazy } from '../../../src/util/lazy.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { dir, file, symlink, tarOf } from '../../support/tar-of.js'

async function imageWith(t: TestContext): Promise<Image> {
  const fixture = await layerFixture(
    t,
    tarOf(
      dir('etc'),
      file('etc/passwd', 'the image’s'),
      symlink('absolute', '/etc/passwd'),
      symlink('up', '../../../../etc/passwd'),
      symlink('etc/relative', './passwd'),
      symlink('directory', 'etc'),
      symlink('loop', 'pool'),
      symlink('pool', 'loop'),
      symlink('nowhere', 'no/such'),
    ),
  )
  const { descriptor } = fixture
  const config = new Lazy(async () => Promise.resolve({ platform: undefined, diffIds: [] }))
  const manifest = {
    digest: descriptor.digest,
    topDigest: descriptor.digest,
    mediaType: '',
    config: descriptor,
    layers: [descriptor],
  }
  return new MergedImage({
    reference: parseReference('a/b:1'),
    manifest,
    layers: [await fixture.open()],
    config,
    isGone: () => false,
  })
}

test('symlinks are followed inside the image and never out of it', async (t) => {
  const image = await imageWith(t)
  const expected = await resolvePath(image, 'etc/passwd')
  for (const path of [
    '/etc/passwd',
    'absolute',
    'up',
    'etc/relative',
    'directory/passwd',
    '../etc//./passwd',
    'etc/../etc/passwd',
  ]) {
    assert.equal(await resolvePath(image, path), expected, path)
  }
  assert.equal((await resolvePath(image, 'absolute', { followLast: false })).attributes.type, 'symlink')
})

test('what is not there, a loop, and a file used as a directory say so', async (t) => {
  const image = await imageWith(t)
  await assert.rejects(resolvePath(image, 'etc/no'), { code: 'NOT_FOUND', message: /"no"/ })
  await assert.rejects(resolvePath(image, 'nowhere'), { code: 'NOT_FOUND' })
  await assert.rejects(resolvePath(image, 'loop'), {
    code: 'NOT_FOUND',
    message: /loop leads nowhere: symlinks in a circle/,
  })
  await assert.rejects(resolvePath(image, 'etc/passwd/x'), { code: 'NOT_A_DIRECTORY' })
})
