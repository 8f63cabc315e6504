import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseConfig } from '../../../src/registry/image-config.js'
import { parseManifest, type Manifest } from '../../../src/registry/manifest.js'
import * as mediaTypes from '../../../src/registry/media-types.js'
import { digestOf } from '../../../src/util/digest.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { imageOf, indexOf } from '../../support/images.js'

const digest = `sha256:${'a'.repeat(64)}`
const sha512 = `sha512:${'b'.repeat(128)}`
const descriptor = { mediaType: 'application/x', digest, size: 3 }

function parse(document: unknown, contentType?: string): Manifest {
  return parseManifest(Buffer.from(JSON.stringify(document)), contentType, 'test')
}

function refuses(code: string, document: unknown, contentType?: string): void {
  assert.throws(() => parse(document, contentType), { code }, JSON.stringify(document).slice(0, 100))
}

test('an image manifest gives its config and its layers, base first', () => {
  const image = imageOf({
    layers: [
      { bytes: Buffer.from('one'), mediaType: 'a/b' },
      { bytes: Buffer.from('two'), mediaType: 'c/d' },
    ],
  })
  const parsed = parseManifest(image.manifest, `${mediaTypes.ociManifest}; charset=utf-8`, 'test')
  assert.ok(parsed.kind === 'image')
  assert.equal(parsed.mediaType, mediaTypes.ociManifest)
  assert.deepEqual(parsed.layers, image.layers)
  assert.deepEqual(parsed.config, image.config)
})

test('an index gives its entries with platforms, and says which are attestations', () => {
  const image = imageOf({ layers: [] })
  const { bytes } = indexOf([
    { image, platform: 'linux/arm64/v8' },
    { image },
    { image, platform: 'unknown/unknown' },
    { image, platform: 'linux/amd64', annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } },
  ])
  const parsed = parseManifest(bytes, undefined, 'test')
  assert.ok(parsed.kind === 'index')
  assert.deepEqual(
    parsed.entries.map(({ platform }) => platform?.architecture),
    ['arm64', undefined, 'unknown', 'amd64'],
  )
  assert.deepEqual(
    parsed.entries.map(({ isAttestation }) => isAttestation),
    [false, false, true, true],
  )
})

test('a layer that is said to be larger than anybody has is refused by its name', () => {
  const manifest = (size: number): unknown => ({
    schemaVersion: 2,
    config: descriptor,
    layers: [descriptor, { ...descriptor, size }],
  })
  const parsed = parse(manifest(2 ** 43))
  assert.ok(parsed.kind === 'image')
  assert.equal(parsed.layers[1]?.size, 2 ** 43)
  for (const size of [2 ** 43 + 1, 2 ** 47, 2 ** 50])
    assert.throws(() => parse(manifest(size)), {
      code: 'LIMIT',
      layer: digest,
      message: `test: its layers[1] is said to have ${String(size)} bytes, more than 8796093022208`,
    })
})

test('a missing media type is guessed from the fields', () => {
  assert.equal(parse({ schemaVersion: 2, config: descriptor, layers: [] }).mediaType, mediaTypes.ociManifest)
  assert.equal(parse({ schemaVersion: 2, manifests: [] }, 'application/json').mediaType, mediaTypes.ociIndex)
  const dockerConfig = { ...descriptor, mediaType: 'application/vnd.docker.container.image.v1+json' }
  assert.equal(
    parse({ schemaVersion: 2, config: dockerConfig, layers: [] }, '').mediaType,
    mediaTypes.dockerManifest,
  )
})

test('a media type that contradicts the header is refused', () => {
  refuses(
    'PROTOCOL',
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] },
    mediaTypes.ociManifest,
  )
  refuses('PROTOCOL', { schemaVersion: 2, mediaType: 5, manifests: [] })
})

test('what is both an index and a manifest is refused', () => {
  refuses('PROTOCOL', { schemaVersion: 2, config: descriptor, layers: [], manifests: [] })
})

test('an artifact with a config of no image and layers that are no tars is fine', () => {
  const parsed = parse({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: 'application/vnd.example',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest, size: 2 },
    layers: [{ ...descriptor, digest: sha512, annotations: { title: 'x', strange: 5 } }],
    subject: descriptor,
  })
  assert.ok(parsed.kind === 'image')
  assert.deepEqual(parsed.layers[0], {
    mediaType: 'application/x',
    digest: sha512,
    size: 3,
    annotations: { title: 'x' },
  })
})

test('inline data is kept where digest and size agree, and refused where they do not', () => {
  const data = Buffer.from('{}')
  const good = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: digestOf(data, 'sha512'),
    size: 2,
    data: 'e30=',
  }
  const parsed = parse({ schemaVersion: 2, config: good, layers: [] })
  assert.ok(parsed.kind === 'image')
  assert.deepEqual(parsed.config.data, data)
  for (const bad of [{ data: 'W10=' }, { size: 3 }, { data: '' }])
    refuses('DIGEST_MISMATCH', { schemaVersion: 2, config: { ...good, ...bad }, layers: [] })
  refuses('PROTOCOL', { schemaVersion: 2, config: { ...good, data: 5 }, layers: [] })
})

test('URLs of foreign layers are kept, what is no URL is not', () => {
  const mediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'
  const layer = { ...descriptor, mediaType, urls: ['https://example.com/a', 'nonsense', 5] }
  const parsed = parse({ schemaVersion: 2, config: descriptor, layers: [layer] })
  assert.ok(parsed.kind === 'image')
  assert.deepEqual(parsed.layers[0]?.urls, ['https://example.com/a'])
})

test('malformed descriptors are refused', () => {
  const layers = (layer: unknown): unknown => ({ schemaVersion: 2, config: descriptor, layers: [layer] })
  for (const bad of [
    null,
    5,
    [],
    {},
    { ...descriptor, digest: 'sha256:xyz' },
    { ...descriptor, digest: `md5:${'a'.repeat(32)}` },
    { ...descriptor, digest: 7 },
    { ...descriptor, size: -1 },
    { ...descriptor, size: 1.5 },
    { ...descriptor, size: 2 ** 53 },
    { ...descriptor, size: '3' },
    { ...descriptor, mediaType: undefined },
    { ...descriptor, mediaType: 'x'.repeat(256) },
  ]) {
    refuses('PROTOCOL', layers(bad))
  }
  refuses('PROTOCOL', { schemaVersion: 2, config: descriptor, layers: {} })
  refuses('PROTOCOL', { schemaVersion: 2, layers: [] }, mediaTypes.ociManifest)
  refuses('PROTOCOL', { schemaVersion: 3, config: descriptor, layers: [] })
  refuses('PROTOCOL', { schemaVersion: 2, manifests: 'no' }, mediaTypes.ociIndex)
})

test('too many layers or entries are refused', () => {
  const many = Array.from({ length: 1001 }, () => descriptor)
  refuses('LIMIT', { schemaVersion: 2, config: descriptor, layers: many })
  refuses('LIMIT', { schemaVersion: 2, manifests: many })
})

test("what is not JSON, or not an object, is no registry's answer", () => {
  for (const text of ['<!doctype html>', '', 'null', '[]', '"x"', '{']) {
    assert.throws(() => parseManifest(Buffer.from(text), undefined, 'test'), { code: 'PROTOCOL' }, text)
  }
  assert.throws(() => parseManifest(Buffer.from('  <html>'), undefined, 'test'), {
    message: /web page.*no registry/,
  })
})

test('a config gives platform and diff IDs', () => {
  const config = {
    os: 'linux',
    architecture: 'arm64',
    variant: 'v8',
    rootfs: { type: 'layers', diff_ids: [digest, sha512] },
  }
  assert.deepEqual(parseConfig(Buffer.from(JSON.stringify(config))), {
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    diffIds: [digest, sha512],
  })
  assert.deepEqual(parseConfig(Buffer.from('{}')), { platform: undefined, diffIds: [] })
})

test('a malformed config is refused', () => {
  for (const diffIds of ['x', {}, [5], ['sha256:1']]) {
    const bytes = Buffer.from(JSON.stringify({ rootfs: { diff_ids: diffIds } }))
    assert.throws(() => parseConfig(bytes), { code: 'PROTOCOL' })
  }
  const many = Buffer.from(
    JSON.stringify({ rootfs: { diff_ids: Array.from({ length: 1001 }, () => digest) } }),
  )
  assert.throws(() => parseConfig(many), { code: 'LIMIT' })
})

test('no JSON makes the parsers throw anything but our errors', () => {
  const field = fc.constantFrom(
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'digest',
    'size',
    'platform',
    'os',
    '__proto__',
    'rootfs',
    'diff_ids',
  )
  const leaf = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }),
    fc.constantFrom(1, 2, digest, mediaTypes.ociIndex, mediaTypes.ociManifest),
  )
  const inner = fc.dictionary(
    field,
    fc.oneof(leaf, fc.array(fc.dictionary(field, leaf), { maxLength: 3 }), fc.dictionary(field, leaf)),
  )
  fc.assert(
    fc.property(inner, (document) => {
      const bytes = Buffer.from(JSON.stringify(document))
      for (const parser of [() => parseManifest(bytes, undefined, 'test'), () => parseConfig(bytes)]) {
        try {
          parser()
        } catch (error) {
          assert.ok(error instanceof RegistryFsError)
          assert.ok(!error.message.includes('\n'))
        }
      }
    }),
    { numRuns: 1000 },
  )
})
