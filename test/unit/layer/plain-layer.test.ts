import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { BlobSource, ReadIntoOptions } from '../../../src/blob/source.js'
import type { LayerTree } from '../../../src/layer/layer-tree.js'
import { digestOf } from '../../../src/util/digest.js'
import { layerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { dir, file, tarOf, type TarPart } from '../../support/tar-of.js'

const plainType = 'application/vnd.oci.image.layer.v1.tar'
const names = (tree: LayerTree): string[] => [...(tree.root.children?.keys() ?? [])].sort()

test('an uncompressed tar is walked by its headers, and its content read where it lies', async (t) => {
  const disk = sampleData('random', 24 << 20)
  const tar = tarOf(dir('disk'), file('disk/disk.img', disk), file('last', 'end'))
  for (const mediaType of [plainType, 'application/vnd.docker.image.rootfs.diff.tar', `${plainType}+gzip`]) {
    const fixture = await layerFixture(t, tar, tar, { mediaType })
    const layer = await fixture.open()
    const tree = await layer.ready()
    assert.deepEqual(names(tree), ['disk', 'last'])
    // What a pass that began in vain has asked for meanwhile comes on top.
    assert.ok(fixture.blob.fetchedBytes < 12 << 20, String(fixture.blob.fetchedBytes))
    assert.equal((await layer.status()).state, 'ready')
    assert.equal(layer.isProven, false, 'nobody has seen the whole of it')
    assert.ok((await layer.read(1024 + (9 << 20), 70_000)).equals(disk.subarray(9 << 20, (9 << 20) + 70_000)))
  }
})

test('a 10 GiB member opens after a few requests', async (t) => {
  const gigabytes = 10
  const memberBytes = gigabytes * 2 ** 30
  const head = tarOf(file('disk.img', '', { claimedSize: memberBytes, base256: true })).subarray(0, 512)
  const tail = tarOf(file('after', 'x'))
  const fixture = await layerFixture(t, tail, tail, {
    mediaType: plainType,
    size: 512 + memberBytes + tail.length,
  })
  const requests: number[] = []
  const blob: BlobSource = {
    size: fixture.descriptor.size,
    read: async (offset, length) => {
      const target = Buffer.alloc(length)
      await blob.readInto(offset, target)
      return target
    },
    readInto: async (offset: number, target: Buffer, _options?: ReadIntoOptions) => {
      requests.push(offset)
      target.fill(0)
      if (offset === 0) head.copy(target)
      const tailAt = 512 + memberBytes - offset
      if (tailAt >= 0 && tailAt < target.length) tail.copy(target, tailAt)
      return Promise.resolve()
    },
  }
  const layer = await fixture.open({ blob })
  assert.deepEqual(names(await layer.ready()), ['after', 'disk.img'])
  assert.ok(requests.length <= 3, requests.join())
  assert.equal(layer.size, fixture.descriptor.size)
})

test('small members are read ahead, not one request each', async (t) => {
  const parts: TarPart[] = []
  for (let i = 0; i < 4000; i++) parts.push(file(`f${String(i)}`, sampleData('random', 5000 + (i % 7) * 800)))
  const tar = tarOf(...parts)
  const fixture = await layerFixture(t, tar, tar, { mediaType: plainType })
  const tree = await (await fixture.open()).ready()
  assert.equal(tree.memberCount, 4000)
  assert.ok(fixture.blob.ranges.length <= 10, String(fixture.blob.ranges.length))
  assert.equal(fixture.blob.fetchedBytes, tar.length)
})

test('an uncompressed layer is proven once it was read as a whole, and then again without reading it', async (t) => {
  const disk = Buffer.concat([
    sampleData('random', 9 << 20),
    Buffer.alloc(8 << 20),
    sampleData('random', 40 << 20),
  ])
  const tar = tarOf(file('disk.img', disk))
  const fixture = await layerFixture(t, tar, tar, { mediaType: plainType })
  const layer = await fixture.open()
  await layer.prove()
  assert.equal(layer.isProven, true)
  assert.equal(await layer.seek('hole', 512, tar.length), 512 + (9 << 20))
  const again = await fixture.open()
  assert.equal((await again.status()).state, 'ready')
  assert.equal(again.isProven, true)
  // What is fetched from now on is checked.
  await rm(join(fixture.directory, 'chunks'), { recursive: true, force: true })
  fixture.blob.bytes = Buffer.from(tar)
  fixture.blob.bytes.writeUInt8((tar[30 << 20] ?? 0) ^ 1, 30 << 20)
  const late = await fixture.open()
  assert.ok((await late.read(512 + 1000, 5000)).equals(disk.subarray(1000, 6000)))
  await assert.rejects(late.read((30 << 20) - 100, 200), { code: 'DIGEST_MISMATCH' })
})

test('an uncompressed layer that does not have its digest is taken back once that is known', async (t) => {
  const tar = tarOf(file('a', sampleData('random', 3 << 20)))
  const fixture = await layerFixture(t, tar, tar, {
    mediaType: plainType,
    digest: digestOf(Buffer.from('other')),
  })
  const layer = await fixture.open()
  await layer.ready()
  await assert.rejects(layer.prove(), { code: 'DIGEST_MISMATCH' })
  assert.equal((await layer.status()).state, 'failed')
  assert.equal((await layer.status()).cachedBytes, 0)
})

test('an uncompressed tar that is cut off is refused', async (t) => {
  const tar = tarOf(file('a', 'x'), file('b', sampleData('random', 9 << 20))).subarray(0, 3 << 20)
  const layer = await (await layerFixture(t, tar, tar, { mediaType: plainType })).open()
  await assert.rejects(layer.ready(), { code: 'CORRUPT', message: /within the content/ })
})

const iso = Buffer.concat([Buffer.alloc(32_768), Buffer.from('\x01CD001\x01'), sampleData('random', 3 << 20)])
const title = 'org.opencontainers.image.title'
for (const [what, blob, annotations, name] of [
  ['an ISO', iso, { [title]: 'boot.iso' }, 'boot.iso'],
  ['a compressed ISO', gzipSync(iso), { [title]: 'boot.iso.gz' }, 'boot.iso'],
  ['a compressed text', gzipSync(iso.subarray(32_768)), { [title]: '../../etc/passwd' }, 'passwd'],
  ['a file with a title that is no name', iso, { [title]: 'a/..' }, undefined],
  ['a file without a title', iso, {}, undefined],
  ['a few bytes', Buffer.from('hello'), { [title]: 'greeting' }, 'greeting'],
] as const) {
  test(`${what} that is no tar is one file named by its title or its digest`, async (t) => {
    const content =
      blob === iso || blob.length < 10 ? blob : what.includes('text') ? iso.subarray(32_768) : iso
    const fixture = await layerFixture(t, content, blob, {
      mediaType: 'application/octet-stream',
      annotations,
    })
    const layer = await fixture.open()
    const expected = name ?? fixture.descriptor.digest.slice('sha256:'.length)
    const tree = await layer.ready()
    assert.deepEqual(names(tree), [expected])
    const member = tree.root.children?.get(expected)?.member
    assert.equal(member?.size, content.length)
    assert.ok((await layer.read(0, content.length)).equals(content))
    await layer.prove()
    assert.ok((await (await fixture.open()).read(0, content.length)).equals(content))
  })
}

test('layers that are encrypted, or compressed as nobody does, are refused with what they are', async (t) => {
  for (const [mediaType, start, message] of [
    [`${plainType}+gzip+encrypted`, 'aabbcc', /encrypted/],
    [plainType, 'fd377a585a000000', /xz/],
    [plainType, '425a683931415926', /bzip2/],
  ] as const) {
    const blob = Buffer.concat([Buffer.from(start, 'hex'), sampleData('random', 5000)])
    const layer = await (await layerFixture(t, blob, blob, { mediaType })).open()
    await assert.rejects(layer.ready(), { code: 'UNSUPPORTED', message })
  }
})

test('a layer with a sha512 digest is proven by it', async (t) => {
  const tar = tarOf(file('a', sampleData('text', 5 << 20)))
  for (const blob of [gzipSync(tar), tar]) {
    const digest = digestOf(blob, 'sha512')
    const fixture = await layerFixture(t, tar, blob, { digest, mediaType: plainType })
    const diffId = async (): Promise<never> => Promise.resolve(digestOf(tar, 'sha512') as never)
    const layer = await fixture.open({ diffId })
    await layer.prove()
    assert.equal((await (await fixture.open()).status()).state, 'ready')
    const wrong = await layerFixture(t, tar, blob, { digest: digestOf(tar.subarray(1), 'sha512') })
    await assert.rejects((await wrong.open()).prove(), { code: 'DIGEST_MISMATCH', message: /sha512/ })
  }
})
