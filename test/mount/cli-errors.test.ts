import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { digestOf, type DiffId } from '../../src/util/digest.js'
import { assertRefused, unusedHost, type BadInput } from '../support/bad-input.js'
import { FakeRegistry } from '../support/fake-registry.js'
import { gzipMember } from '../support/gzip-shapes.js'
import { diffIdOf, gzipLayer, type Layer } from '../support/images.js'
import { registryfs } from '../support/registryfs.js'
import { sampleData } from '../support/sample-data.js'
import { dir, file, tarOf } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 120_000 }
const disk = sampleData('text', 3 << 20)
const tar = tarOf(dir('disk/'), file('disk/downloaded', disk))
const smallTar = tarOf(file('a', 'small'))
const good = gzipLayer(tar)
const tarType = 'application/vnd.oci.image.layer.v1.tar'
const xz: Layer = { bytes: Buffer.from('fd377a585a000004', 'hex'), mediaType: `${tarType}+xz` }

const unknownDigest = `sha256:${'12'.repeat(32)}`

const cases: readonly BadInput[] = [
  {
    what: 'an unknown image',
    name: 'nothing/here:v1',
    exitStatus: 3,
    says: /(404 NAME_UNKNOWN|there is no image) .*nothing\/here:v1/,
    errno: 'No such file or directory',
    code: 'NOT_FOUND',
  },
  {
    what: 'an unknown tag',
    name: 'disk:v2',
    exitStatus: 3,
    says: /(404 MANIFEST_UNKNOWN|there is no image) .*disk:v2/,
    errno: 'No such file or directory',
    code: 'NOT_FOUND',
  },
  {
    what: 'an unknown digest',
    name: `disk@${unknownDigest}`,
    exitStatus: 3,
    says: /(404 MANIFEST_UNKNOWN|there is no image) .*disk@sha256:1212/,
    errno: 'No such file or directory',
    code: 'NOT_FOUND',
  },
  {
    what: 'a refusal with 403',
    registry: { faults: { failing: { kind: 'manifest', status: 403, times: 1000 } } },
    exitStatus: 4,
    says: /403/,
    errno: 'Permission denied',
    code: 'DENIED',
  },
  {
    what: 'a token that never helps',
    registry: { auth: { denied: true } },
    exitStatus: 4,
    says: /401/,
    errno: 'Permission denied',
    code: 'UNAUTHORIZED',
  },
  {
    what: 'a port where nobody listens',
    host: unusedHost,
    exitStatus: 5,
    says: /127\.0\.0\.1:\d+ refuses connections/,
    errno: 'Input/output error',
    code: 'UNAVAILABLE',
  },
  {
    what: 'a host that does not exist',
    host: async () => Promise.resolve('registry.invalid:5000'),
    exitStatus: 5,
    says: /registry\.invalid.*\(DNS\)/,
    errno: 'Input/output error',
    code: 'UNAVAILABLE',
  },
  {
    what: 'a web server that is no registry',
    registry: { faults: { html: true } },
    exitStatus: 5,
    says: /there is no registry at this address/,
    errno: 'Input/output error',
    code: 'PROTOCOL',
  },
  {
    what: 'a registry that is overloaded',
    registry: { faults: { failing: { kind: 'any', status: 503, times: 1000 } } },
    exitStatus: 5,
    says: /503/,
    errno: 'Input/output error',
    code: 'UNAVAILABLE',
  },
  {
    what: 'a rate limit',
    registry: {
      faults: {
        failing: {
          kind: 'manifest',
          status: 429,
          times: 1000,
          body: '{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}',
        },
      },
    },
    exitStatus: 5,
    says: /429.*pull rate limit/,
    errno: 'Input/output error',
    code: 'RATE_LIMITED',
  },
  {
    what: 'a manifest that is not what its digest says',
    registry: { faults: { corruptManifests: true } },
    exitStatus: 6,
    says: /manifests.v1 of disk has digest sha256/,
    errno: 'Input/output error',
    code: 'DIGEST_MISMATCH',
  },
  {
    what: 'a layer of xz',
    image: { layers: [xz] },
    exitStatus: 7,
    says: /compressed with xz/,
    errno: 'Operation not supported',
    code: 'UNSUPPORTED',
  },
  {
    what: 'a layer of xz that says it is gzip',
    image: { layers: [{ ...xz, mediaType: `${tarType}+gzip` }] },
    exitStatus: 7,
    says: /compressed with xz/,
    errno: 'Operation not supported',
    code: 'UNSUPPORTED',
  },
  {
    what: 'a layer that is not what its digest says',
    image: {
      layers: [
        { ...good, bytes: gzipMember(smallTar, { comment: 'x'.repeat(60_000) }), diffId: diffIdOf(smallTar) },
      ],
    },
    // Changes the comment: gzip, tar and size are good, and only the digest tells.
    registry: { faults: { corruptBlobs: true } },
    exitStatus: 6,
    says: /have digest sha256/,
    errno: 'Input/output error',
    code: 'DIGEST_MISMATCH',
  },
  {
    what: 'a layer with a bit that fell over',
    registry: { faults: { corruptBlobs: true } },
    exitStatus: 6,
    says: /gzip: /,
    errno: 'Input/output error',
    code: 'CORRUPT',
  },
  {
    what: 'a layer whose tar is not the one of its diff ID',
    image: { layers: [{ ...good, diffId: digestOf(Buffer.from('other')) as string as DiffId }] },
    exitStatus: 6,
    says: /diff ID/,
    errno: 'Input/output error',
    code: 'DIGEST_MISMATCH',
  },
  {
    what: 'a gzip that ends in the middle',
    image: {
      layers: [{ ...good, bytes: good.bytes.subarray(0, good.bytes.length >> 1) }],
    },
    exitStatus: 6,
    says: /the gzip data ends too early: the layer is truncated/,
    errno: 'Input/output error',
    code: 'CORRUPT',
  },
  {
    what: 'a tar that ends in the middle',
    image: { layers: [gzipLayer(tar.subarray(0, tar.length >> 1))] },
    exitStatus: 6,
    says: /tar: it ends within the content of a member/,
    errno: 'Input/output error',
    code: 'CORRUPT',
  },
  {
    what: 'a blob that has vanished',
    change: (registry, layer) => {
      registry.faults.missingBlobs = new Set([layer])
    },
    exitStatus: 3,
    says: /no longer in the registry/,
    errno: 'Stale file handle',
    code: 'GONE',
  },
  {
    what: 'a blob that the CDN has lost',
    registry: { faults: { redirect: 'cdn' } },
    change: (registry, layer) => {
      registry.faults.missingBlobs = new Set([layer])
    },
    exitStatus: 3,
    says: /no longer in the registry/,
    errno: 'Stale file handle',
    code: 'GONE',
  },
]

// Each waits for retries more than it works.
describe('bad input', { concurrency: 2 }, () => {
  for (const bad of cases) {
    test(bad.what, options, async (t) => assertRefused(t, bad, { layers: [good] }))
  }

  test('a bad layer below a directory that is listed already', options, async (t) => {
    const registry = await FakeRegistry.start()
    t.after(async () => registry.stop())
    const { bytes } = gzipLayer(tarOf(dir('a/'), dir('b/'), file('b/disk', disk)))
    registry.addImage('disk', 'v1', { layers: [{ ...good, bytes: bytes.subarray(0, bytes.length >> 1) }] })
    // So that the members are seen some time before the end.
    registry.faults = { bytesPerSecond: bytes.length / 4 }
    for (const flags of [['-R'], ['-lR'], ['-R', '--json']]) {
      const cache = join(await temporaryDirectory(t), 'cache')
      const { code, stdout, stderr } = await registryfs({ cache }, 'ls', ...flags, `${registry.host}/disk:v1`)
      assert.equal(code, 6, stderr)
      assert.match(stderr, /^registryfs: .* truncated.*\n$/)
      // What was seen until then is right, and was shown.
      assert.match(stdout, /b\/disk/)
    }
  })
})
