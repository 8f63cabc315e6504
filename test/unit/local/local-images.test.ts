import assert from 'node:assert/strict'
import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { digestHex, digestOf } from '../../../src/util/digest.js'
import { writeOciLayout } from '../../support/docker-registry.js'
import { gzipLayer, imageOf, tarLayer, type PackedImage } from '../../support/images.js'
import {
  contentOf,
  dockerArchive,
  legacyDockerArchive,
  localCore,
  localReference,
  openLocal,
} from '../../support/local-core.js'
import { file, symlink as link, tarOf } from '../../support/tar-of.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const base = gzipLayer(tarOf(file('a', 'base'), file('b', 'b'.repeat(5000))))
const top = gzipLayer(tarOf(file('a', 'top')))
const image = imageOf({ layers: [base, top] })
const other = imageOf({ layers: [base] })

async function writeFlat(directory: string, packed: PackedImage): Promise<void> {
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'manifest.json'), packed.manifest)
  await writeFile(join(directory, 'version'), 'Directory Transport Version: 1.1\n')
  for (const blob of packed.blobs) await writeFile(join(directory, digestHex(digestOf(blob))), blob)
}

function layoutTar(directory: string, prefix = ''): Buffer {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return tarOf(
    ...names.map((name) => file(`${prefix}${name.slice(directory.length + 1)}`, readFileSync(name))),
  )
}

test('an OCI layout is read in place: nothing of it is copied into the cache', async (t) => {
  const files = await temporaryDirectory(t)
  const path = join(files, 'oci')
  await writeOciLayout(path, 'v1', image)
  const core = await localCore(t, files)
  for (const reference of [`oci:${path}`, `oci:${path}:v1`, `oci:${path}@${image.digest}`, `dir:${path}`]) {
    const opened = await openLocal(core, reference)
    assert.equal(opened.manifest.digest, image.digest)
    assert.equal((await contentOf(opened, 'a')).toString(), 'top')
    assert.equal((await contentOf(opened, 'b')).toString(), 'b'.repeat(5000))
  }
  await core.close()
  const chunks = join(files, 'cache/chunks')
  assert.deepEqual(existsSync(chunks) ? readdirSync(chunks, { recursive: true }) : [], [])
  assert.equal(readdirSync(join(files, 'cache/indexes/sha256')).length, 2)
})

test('a layout for several platforms is narrowed to ours', async (t) => {
  const files = await temporaryDirectory(t)
  await writeOciLayout(join(files, 'oci'), 'v1', [
    { image: other, platform: 'linux/arm64' },
    { image, platform: 'linux/amd64' },
  ])
  const core = await localCore(t, files)
  assert.equal((await openLocal(core, `oci:${join(files, 'oci')}`)).manifest.digest, image.digest)
})

test('an archive of an OCI layout is read without being unpacked', async (t) => {
  const files = await temporaryDirectory(t)
  await writeOciLayout(join(files, 'oci'), 'v1', image)
  const core = await localCore(t, files)
  for (const prefix of ['', './']) {
    const path = join(files, `archive${String(prefix.length)}.tar`)
    await writeFile(path, layoutTar(join(files, 'oci'), prefix))
    for (const reference of [`oci-archive:${path}`, `oci-archive:${path}:v1`, `oci:${path}`]) {
      const opened = await openLocal(core, reference)
      assert.equal(opened.manifest.digest, image.digest)
      assert.equal((await contentOf(opened, 'a')).toString(), 'top')
    }
  }
})

test("docker save's archive gives its images by tag, its layers by link", async (t) => {
  const files = await temporaryDirectory(t)
  const path = join(files, 'saved.tar')
  const archive = dockerArchive(
    [
      {
        layers: [base, top],
        tags: ['example/one:1', 'one:latest'],
        layerNames: ['x/layer.tar', 'y/layer.tar'],
      },
      { layers: [base], tags: ['two:2'], layerNames: ['z/layer.tar'] },
    ],
    file('x/layer.tar', base.bytes),
    file('y/layer.tar', top.bytes),
    link('z/layer.tar', '../x/layer.tar'),
  )
  await writeFile(path, archive)
  const core = await localCore(t, files)
  for (const tag of ['example/one:1', 'docker.io/example/one:1', 'one', 'docker.io/library/one:latest'])
    assert.equal(
      (await contentOf(await openLocal(core, `docker-archive:${path}:${tag}`), 'a')).toString(),
      'top',
    )
  const two = await openLocal(core, `docker-archive:${path}:two:2`)
  assert.equal((await contentOf(two, 'a')).toString(), 'base')
  assert.equal(two.manifest.layers[0]?.digest, digestOf(base.bytes))
  assert.match((await two.layerStatus())[0]?.diffId ?? '', /^sha256:/)
  await assert.rejects(openLocal(core, `docker-archive:${path}`), {
    code: 'INVALID',
    message: /more than one image: name one of them: it has example\/one:1, two:2$/,
  })
  await assert.rejects(openLocal(core, `docker-archive:${path}:three`), { code: 'NOT_FOUND' })
})

test('a layer of docker save that is not compressed has its diff ID for a digest', async (t) => {
  const files = await temporaryDirectory(t)
  const tar = tarOf(file('disk', 'x'.repeat(3000)))
  const path = join(files, 'saved.tar')
  await writeFile(path, dockerArchive([{ layers: [tarLayer(tar)], tags: ['d:1'] }]))
  const core = await localCore(t, files)
  const { manifest, reference } = await openLocal(core, `docker-archive:${path}`)
  const layer = manifest.layers[0] ?? assert.fail()
  assert.deepEqual([layer.digest, layer.size], [digestOf(tar), tar.length])
  const range = await core.locate(reference, layer)
  assert.equal(range?.file.path, path)
  const bytes = Buffer.alloc(layer.size)
  await range.file.readInto(range.offset, bytes)
  assert.deepEqual(bytes, tar)
})

test('what docker save wrote before Docker 1.10 is read by its repositories file, parents first', async (t) => {
  const files = await temporaryDirectory(t)
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64)) as [
    string,
    string,
    string,
    string,
  ]
  const tars = ['base', 'top', 'other'].map((text) => tarOf(file('a', text), file(text, text)))
  const [baseTar, topTar, otherTar] = tars as [Buffer, Buffer, Buffer]
  const path = join(files, 'old.tar')
  await writeFile(
    path,
    legacyDockerArchive(
      [
        { id: b, parent: a, tar: topTar },
        { id: a, tar: baseTar },
        { id: c, parent: a, tar: otherTar },
      ],
      { 'example/one': { 1: b, latest: b }, two: { latest: c } },
    ),
  )
  const core = await localCore(t, files)
  for (const tag of ['example/one:1', 'docker.io/example/one:latest', '@0']) {
    const image = await openLocal(core, `docker-archive:${path}:${tag}`)
    assert.equal((await contentOf(image, 'a')).toString(), 'top')
    assert.equal((await contentOf(image, 'base')).toString(), 'base')
    assert.deepEqual(
      image.manifest.layers.map(({ digest }) => digest),
      [digestOf(baseTar), digestOf(topTar)],
    )
    assert.equal((await image.layerStatus())[0]?.diffId, digestOf(baseTar))
  }
  assert.equal(
    (await contentOf(await openLocal(core, `docker-archive:${path}:two`), 'a')).toString(),
    'other',
  )
  await assert.rejects(openLocal(core, `docker-archive:${path}:three`), {
    code: 'NOT_FOUND',
    message: /it has example\/one:1, two:latest$/,
  })
  const layers = [{ id: d, parent: d, tar: baseTar }]
  for (const [name, bytes, code, message] of [
    ['circle', legacyDockerArchive(layers, { x: { latest: d } }), 'LIMIT', /more than \d+ layers$/],
    ['lost', legacyDockerArchive([], { x: { latest: d } }), 'CORRUPT', /dddd\/json is not in it$/],
    ['odd', legacyDockerArchive([], { x: { latest: '../x' } }), 'CORRUPT', /"..\/x" is no ID of a layer$/],
    ['list', legacyDockerArchive([], []), 'CORRUPT', /repositories is not a JSON object$/],
  ] as const) {
    await writeFile(join(files, name), bytes)
    await assert.rejects(openLocal(core, `docker-archive:${files}/${name}`), { code, message }, name)
  }
})

test('an image can be had by its place in the list of manifests', async (t) => {
  const files = await temporaryDirectory(t)
  const core = await localCore(t, files)
  const oci = join(files, 'oci')
  await writeOciLayout(oci, 'v1', image)
  const index = JSON.parse(readFileSync(join(oci, 'index.json'), 'utf8')) as { manifests: object[] }
  await writeOciLayout(oci, 'v2', other)
  const second = JSON.parse(readFileSync(join(oci, 'index.json'), 'utf8')) as { manifests: object[] }
  index.manifests.push(...second.manifests)
  await writeFile(join(oci, 'index.json'), JSON.stringify(index))
  assert.equal((await openLocal(core, `oci:${oci}:@0`)).manifest.digest, image.digest)
  assert.equal((await openLocal(core, `oci:${oci}:@1`)).manifest.digest, other.digest)
  await assert.rejects(openLocal(core, `oci:${oci}:@2`), {
    code: 'NOT_FOUND',
    message: /no image @2: the list of manifests is shorter$/,
  })
  const path = join(files, 'saved.tar')
  await writeFile(path, dockerArchive([{ layers: [base] }, { layers: [top] }]))
  for (const [index, content] of ['base', 'top'].entries()) {
    const opened = await openLocal(core, `docker-archive:${path}:@${String(index)}`)
    assert.equal((await contentOf(opened, 'a')).toString(), content)
  }
})

test("the newer docker save's archive is an OCI layout and a docker archive in one", async (t) => {
  const files = await temporaryDirectory(t)
  await writeOciLayout(join(files, 'oci'), 'v1', image)
  const names = image.layerDigests.map((digest) => `blobs/sha256/${digestHex(digest)}`)
  const list = [
    { Config: `blobs/sha256/${digestHex(image.config.digest)}`, RepoTags: ['a:1'], Layers: names },
  ]
  await writeFile(join(files, 'oci/manifest.json'), JSON.stringify(list))
  const path = join(files, 'saved.tar')
  await writeFile(path, layoutTar(join(files, 'oci')))
  const core = await localCore(t, files)
  for (const reference of [`docker-archive:${path}:a:1`, `oci-archive:${path}:v1`]) {
    const opened = await openLocal(core, reference)
    assert.deepEqual(
      opened.manifest.layers.map(({ digest }) => digest),
      image.layerDigests,
    )
    assert.equal((await contentOf(opened, 'a')).toString(), 'top')
  }
})

test("a flat directory is skopeo's dir: and podman's old oci-dir", async (t) => {
  const files = await temporaryDirectory(t)
  await writeFlat(join(files, 'flat'), image)
  const core = await localCore(t, files)
  for (const transport of ['dir', 'oci']) {
    const opened = await openLocal(core, `${transport}:${join(files, 'flat')}`)
    assert.equal(opened.manifest.digest, image.digest)
    assert.equal((await contentOf(opened, 'a')).toString(), 'top')
  }
})

test('what is no image says so in one line', async (t) => {
  const files = await temporaryDirectory(t)
  const core = await localCore(t, files)
  await mkdir(join(files, 'empty'))
  await writeFile(join(files, 'text'), 'not a tar'.repeat(100))
  await mkdir(join(files, 'unpacked'))
  await writeFile(join(files, 'unpacked/repositories'), '{}')
  await writeFile(join(files, 'packed.tar.gz'), gzipSync(layoutTar(files)))
  await writeFile(join(files, 'other.tar'), tarOf(file('a', 'b')))
  await writeFile(join(files, 'cut.tar'), tarOf(file('a', 'b'.repeat(5000))).subarray(0, 3000))
  await writeFile(join(files, 'lost.tar'), dockerArchive([{ layers: [base], layerNames: ['nowhere'] }]))
  for (const [reference, code, message] of [
    [`oci:${files}/nowhere`, 'NOT_FOUND', /nowhere: there is no such file or directory$/],
    [`oci:${files}/empty`, 'UNSUPPORTED', /is no image: neither oci-layout/],
    [`docker-archive:${files}/unpacked`, 'UNSUPPORTED', /before Docker 1\.10, unpacked: /],
    [`oci-archive:${files}/text`, 'CORRUPT', /it is not a tar archive$/],
    [`docker-archive:${files}/packed.tar.gz`, 'UNSUPPORTED', /compressed with gzip: decompress it first$/],
    [`docker-archive:${files}/other.tar`, 'UNSUPPORTED', /is no image/],
    [`docker-archive:${files}/cut.tar`, 'CORRUPT', /ends within a member/],
    [`docker-archive:${files}/lost.tar`, 'CORRUPT', /nowhere is not in it$/],
    ['oci:/dev/null', 'UNSUPPORTED', /neither a directory nor an archive$/],
    [`containers-storage:[${files}]x`, 'UNSUPPORTED', /no store/],
    [`containers-storage:[${files}/nowhere]x`, 'NOT_FOUND', /nowhere: there is no such file or directory$/],
  ] as const) {
    await assert.rejects(openLocal(core, reference), { code, message }, reference)
  }
})

test('several images without a name are an error that lists them', async (t) => {
  const files = await temporaryDirectory(t)
  const path = join(files, 'oci')
  await writeOciLayout(path, 'v1', image)
  const index = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as { manifests: object[] }
  await writeOciLayout(path, 'v2', other)
  const second = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as { manifests: object[] }
  index.manifests.push(...second.manifests)
  await writeFile(join(path, 'index.json'), JSON.stringify(index))
  const core = await localCore(t, files)
  await assert.rejects(openLocal(core, `oci:${path}`), { code: 'INVALID', message: /it has v1, v2$/ })
  assert.equal((await openLocal(core, `oci:${path}:v2`)).manifest.digest, other.digest)
  await assert.rejects(openLocal(core, `oci:${path}:v3`), { code: 'NOT_FOUND', message: /no image "v3"/ })
})

test('a blob that is missing is GONE, and there for the next one who asks when it comes back', async (t) => {
  const files = await temporaryDirectory(t)
  const path = join(files, 'oci')
  await writeOciLayout(path, 'v1', image)
  const blob = join(path, 'blobs/sha256', digestHex(image.layerDigests[1] ?? assert.fail()))
  await rename(blob, `${blob}.away`)
  const core = await localCore(t, files)
  await assert.rejects(contentOf(await openLocal(core, `oci:${path}`), 'a'), {
    code: 'GONE',
    message: /blob sha256:[0-9a-f]+ is not there$/,
  })
  await rename(`${blob}.away`, blob)
  assert.equal((await contentOf(await openLocal(core, `oci:${path}`), 'a')).toString(), 'top')
})

test('a file that changes under a mount is GONE, never wrong bytes', async (t) => {
  const files = await temporaryDirectory(t)
  const path = join(files, 'saved.tar')
  const write = async (text: string): Promise<void> =>
    writeFile(path, dockerArchive([{ layers: [tarLayer(tarOf(file('f', text)))], tags: ['d:1'] }]))
  await write('one')
  const core = await localCore(t, files)
  const { manifest, reference } = await openLocal(core, `docker-archive:${path}`)
  const range = (await core.locate(reference, manifest.layers[0] ?? assert.fail())) ?? assert.fail()
  const bytes = Buffer.alloc(100)
  await range.file.readInto(range.offset, bytes)
  await write('two')
  await utimes(path, 1, 1)
  await assert.rejects(range.file.readInto(range.offset, bytes), { code: 'GONE', message: /has changed/ })
  await assert.rejects(range.file.readInto(range.offset, bytes), { code: 'GONE' })
  const again = await openLocal(core, `docker-archive:${path}`)
  assert.notEqual(again.manifest.digest, manifest.digest)
  await rm(path)
  await assert.rejects(openLocal(core, `docker-archive:${path}`), { code: 'NOT_FOUND' })
})

test(
  'symbolic links, devices and fifos in a layout are never followed or opened',
  { timeout: 20_000 },
  async (t) => {
    const files = await temporaryDirectory(t)
    const core = await localCore(t, files)
    const path = join(files, 'oci')
    await writeOciLayout(path, 'v1', image)
    const blobs = join(path, 'blobs/sha256')
    const blob = join(blobs, digestHex(image.layerDigests[1] ?? assert.fail()))
    await rename(blob, join(files, 'outside'))
    await symlink(join(files, 'outside'), blob)
    const reading = async (): Promise<Buffer> => contentOf(await openLocal(core, `oci:${path}`), 'a')
    await assert.rejects(reading(), { message: /symbolic links are not followed|instead of/ })
    await rm(blob)
    await rename(join(files, 'outside'), blob)
    await rename(blobs, join(files, 'outside'))
    await symlink(join(files, 'outside'), blobs)
    const fresh = await localCore(t, join(files, 'second'))
    await assert.rejects(openLocal(fresh, `oci:${path}`), { code: 'UNSUPPORTED', message: /symbolic links/ })
  },
)

test('references to local images are what they are in skopeo', () => {
  const parse = (text: string): unknown => {
    const { host, transport, path, tag } = localReference(text)
    return [host, transport, path, tag]
  }
  assert.deepEqual(parse('oci:/a/b'), ['', 'oci', '/a/b', undefined])
  assert.deepEqual(parse('oci:/a/b:v1'), ['', 'oci', '/a/b', 'v1'])
  assert.deepEqual(parse('docker-archive:/a.tar:quay.io/x/y:1'), [
    '',
    'docker-archive',
    '/a.tar',
    'quay.io/x/y:1',
  ])
  assert.deepEqual(parse('dir:/a:b'), ['', 'dir', '/a:b', undefined])
  assert.deepEqual(parse('containers-storage:debian:12'), ['', 'containers-storage', '', 'debian:12'])
  assert.deepEqual(parse('containers-storage:[overlay@/s+/run]debian'), [
    ...['', 'containers-storage', '/s', 'debian'],
  ])
  assert.equal(localReference('oci:b').path, join(process.cwd(), 'b'))
  for (const text of ['oci:', 'dir:', 'oci::x', 'containers-storage:[]x', 'containers-storage:'])
    assert.throws(() => localReference(text), { code: 'INVALID' }, text)
  for (const text of ['debian:12', 'quay.io/oci:1', 'ocix:/a', 'docker://a'])
    assert.throws(() => localReference(text), /is not local/, text)
})
