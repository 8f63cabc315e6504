import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { dockerRegistry, writeOciLayout } from '../support/docker-registry.js'
import { gzipLayer, imageOf, type Layer } from '../support/images.js'
import { output } from '../support/mounted.js'
import { complaints, mountImages, registryfs } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, hardlink, opaque, symlink, tarOf, whiteout, type TarPart } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }

const layer = (...parts: readonly TarPart[]): Layer => gzipLayer(tarOf(...parts))

const longName = `deep/${'a-rather-long-directory-name/'.repeat(6)}file`

const base = layer(
  dir('etc/', { mtime: 1_600_000_000 }),
  file('etc/passwd', 'root:x:0:0', { mtime: 1_600_000_001 }),
  file('etc/shadow', 'secret', { mode: 0o600, mtime: 1_600_000_001.25 }),
  file('etc/gone', 'gone'),
  dir('etc/gone.d/'),
  file('etc/gone.d/a', 'a'),
  dir('opaque/', { mode: 0o750 }),
  file('opaque/hidden', 'hidden'),
  dir('opaque/hidden.d/'),
  file('opaque/hidden.d/deeper', 'deeper'),
  dir('bin/'),
  file('bin/tool', sampleData('text', 300_000), { mode: 0o4755 }),
  hardlink('bin/tool-2', 'bin/tool', { mode: 0o4755 }),
  symlink('bin/tool-link', 'tool'),
  symlink('bin/absolute', '/bin/tool'),
  symlink('bin/dangling', '../nowhere'),
  dir('tmp/', { mode: 0o1777 }),
  file('becomes-directory', 'file'),
  dir('becomes-file/'),
  file('becomes-file/x', 'x'),
  symlink('becomes-real', 'etc'),
  file('no-parent/entry/of/it', 'implied directories'),
  file(longName, 'long'),
  file('söme/ünicode name', 'ü'),
  file('empty'),
  dir('shared/'),
  file('shared/lower', 'lower'),
  file('shared/hidden', 'kept by its other name'),
  hardlink('shared/kept', 'shared/hidden'),
)
const middle = layer(
  whiteout('etc/gone'),
  whiteout('etc/gone.d'),
  whiteout('becomes-directory'),
  dir('becomes-directory/'),
  file('becomes-directory/inside', 'inside'),
  whiteout('becomes-file'),
  file('becomes-file', 'now a file'),
  whiteout('becomes-real'),
  dir('becomes-real/', { mode: 0o711 }),
  file('becomes-real/own', 'own'),
  dir('opaque/', { mode: 0o700 }),
  opaque('opaque'),
  file('opaque/new', sampleData('random', 100_000)),
  file('etc/passwd', 'root:x:0:0:changed', { mode: 0o640, mtime: 1_650_000_000 }),
)
const top = layer(
  dir('etc/', { mode: 0o755, mtime: 1_700_000_000 }),
  dir('etc/gone.d/'),
  file('etc/gone.d/b', 'back, but without a'),
  file('opaque/newer', 'newer'),
  hardlink('opaque/newer-2', 'opaque/newer'),
  hardlink('shared/upper', 'shared/lower'),
  whiteout('shared/hidden'),
)

/** One line for everything: type, mode, size, time, target, then link counts, then contents. */
const listing = `export LC_ALL=C
find . -mindepth 1 \\( -type d -printf '%p %y %m\\n' -o -printf '%p %y %m %s %T@ %l\\n' \\) | sort
find . -type f -printf '%p %n\\n' | sort
find . -type f -print0 | sort -z | xargs -0 sha256sum`

test('layers merge as umoci unpacks them', options, async (t) => {
  const files = await temporaryDirectory(t)
  const registry = await dockerRegistry(t)
  const oci = join(files, 'oci')
  await writeOciLayout(oci, 'v1', imageOf({ layers: [base, middle, top] }))
  await registry.push(oci, 'merge', 'v1')
  const bundle = join(files, 'bundle')
  await output('umoci', 'unpack', '--rootless', '--image', `${oci}:v1`, bundle)
  const mount = await mountImages(t, { cache: join(files, 'cache') })
  const path = join(mount.path, registry.host, 'merge:v1')
  const expected = await output('sh', '-c', `cd ${bundle}/rootfs; ${listing}`)
  const actual = await output('sh', '-c', `cd ${path}; ${listing}`)
  assert.ok(expected.split('\n').length > 40)
  assert.deepEqual(actual.split('\n'), expected.split('\n'))
  // The same in the other order: names first, one by one, before any directory is listed.
  const again = await mountImages(t, { cache: join(files, 'cache-2') })
  const names = (await output('find', join(bundle, 'rootfs'), '-mindepth', '1', '-printf', '%P\\0')).split(
    '\0',
  )
  const below = (name: string): string => join(again.path, registry.host, 'merge:v1', name)
  await output('stat', '--', ...names.map(below))
  const hidden = [
    'etc/gone',
    'etc/gone.d/a',
    'opaque/hidden',
    'shared/hidden',
    'becomes-file/x',
    'becomes-real/passwd',
  ]
  for (const name of hidden) {
    await assert.rejects(output('stat', '--', below(name)), name)
  }
  assert.deepEqual(complaints(mount.log() + again.log()), [])
})

test('ls -R lists what the mount lists', options, async (t) => {
  const files = await temporaryDirectory(t)
  const registry = await dockerRegistry(t)
  await writeOciLayout(join(files, 'oci'), 'v1', imageOf({ layers: [base, middle, top] }))
  await registry.push(join(files, 'oci'), 'merge', 'v1')
  const cache = join(files, 'cache')
  const reference = `${registry.host}/merge:v1`
  const cold = await registryfs({ cache }, 'ls', '-R', reference)
  const warm = await registryfs({ cache }, 'ls', '-R', reference)
  const mount = await mountImages(t, { cache, images: [`i=${reference}`] })
  const found = await output('sh', '-c', `cd ${mount.path}/i; find . -mindepth 1 -printf '%P\\n'`)
  const sorted = (text: string): readonly string[] => text.split('\n').sort()
  assert.deepEqual(sorted(warm.stdout), sorted(found))
  assert.deepEqual(sorted(cold.stdout), sorted(found))
  assert.equal(cold.stderr + warm.stderr, '')
})

test('an index of several platforms shows the one that --platform names', options, async (t) => {
  const files = await temporaryDirectory(t)
  const registry = await dockerRegistry(t)
  const members = ['linux/amd64', 'linux/arm64', 'linux/arm/v7'].map((platform) => ({
    platform,
    image: imageOf({ layers: [layer(file('arch', platform))], platform }),
  }))
  await writeOciLayout(join(files, 'oci'), 'v1', members)
  await registry.push(join(files, 'oci'), 'multi', 'v1')
  const reference = `${registry.host}/multi:v1`
  for (const { platform, image } of members) {
    const flags = ['--platform', platform]
    const cache = join(files, `cache-${platform.replaceAll('/', '-')}`)
    const mount = await mountImages(t, { cache, images: [`m=${reference}`], flags })
    assert.equal(await output('cat', join(mount.path, 'm/arch')), platform)
    assert.equal(await mount.stop(), 0)
    const inspected = await registryfs({ cache }, 'inspect', '--json', ...flags, reference)
    const { digest, platform: shown } = JSON.parse(inspected.stdout) as { digest: string; platform: string }
    assert.deepEqual([digest, shown], [image.digest, platform])
  }
  const missing = await registryfs(
    { cache: join(files, 'cache') },
    'ls',
    '--platform',
    'linux/s390x',
    reference,
  )
  assert.equal(missing.code, 3)
  assert.match(missing.stderr, /^registryfs: .*linux\/s390x.*linux\/amd64.*\n$/)
})
