import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Layer } from '../../../src/layer/layer.js'
import type { LayerTree } from '../../../src/layer/layer-tree.js'
import type { LayerNode } from '../../../src/layer/tree-node.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { charDevice, dir, fifo, file, hardlink, symlink, tarOf, whiteout } from '../../support/tar-of.js'
import { estargzOf, zstdChunkedOf, type Toc, type TocLayer } from '../../support/toc-layers.js'

const disk = sampleData('mixed', 9_500_000)
const tar = tarOf(
  dir('./', { mode: 0o750 }),
  dir('etc', { mtime: 1_600_000_000.25 }),
  file('etc/passwd', 'root:x:0:0', {
    mode: 0o4755,
    uid: 12,
    gid: 34,
    xattrs: { 'user.a': Buffer.from([0, 255, 10]) },
  }),
  file('etc/empty'),
  hardlink('etc/again', 'etc/passwd'),
  symlink('etc/link', 'passwd'),
  charDevice('null', 1, 3),
  fifo('pipe'),
  whiteout('etc/gone'),
  file('.no.prefetch.landmark', '\x0f'),
  dir('disk'),
  file('disk/disk.img', disk),
  file('ütf', sampleData('text', 70_000)),
)
const files: Readonly<Record<string, Buffer>> = {
  'etc/passwd': Buffer.from('root:x:0:0'),
  'etc/empty': Buffer.alloc(0),
  'disk/disk.img': disk,
  ütf: sampleData('text', 70_000),
}

const writers = { eStargz: estargzOf, 'zstd:chunked': zstdChunkedOf } as const

/** The table is part of the tar: its diff ID is not that of `tar`. */
async function fixtureOf(t: TestContext, { blob, annotations }: TocLayer): Promise<LayerFixture> {
  const fixture = await layerFixture(t, tar, blob, { annotations })
  return { ...fixture, open: async () => fixture.open({ diffId: async () => Promise.resolve(undefined) }) }
}

function nodeAt(tree: LayerTree, path: string): LayerNode {
  let node: LayerNode | undefined = tree.root
  for (const name of path.split('/')) node = node?.children?.get(Buffer.from(name).toString('latin1'))
  assert.ok(node, path)
  return node
}

/** Everything that can be seen of a tree, but where its bytes lie. */
function shown(node: LayerNode): unknown {
  const { member, children, linkCount, whiteouts, opaque } = node
  const seen = { ...member, headerOffset: 0, dataOffset: 0, name: '' }
  return {
    seen,
    linkCount,
    opaque,
    whiteouts: [...(whiteouts ?? [])],
    children: [...(children?.keys() ?? [])]
      .sort()
      .map((name) => [name, shown(children?.get(name) as LayerNode)]),
  }
}

/** Nobody reads it: that it is decoded all the same is awaited. */
async function inMemory(layer: Layer, offset: number, length: number): Promise<void> {
  const deadline = performance.now() + 20_000
  while (layer.peek(offset, length) === undefined) {
    assert.ok(performance.now() < deadline, `nothing is decoded at ${String(offset)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function assertContent(layer: Layer): Promise<void> {
  const tree = await layer.ready()
  for (const [path, content] of Object.entries(files)) {
    const { dataOffset = 0, size } = nodeAt(tree, path).member ?? {}
    assert.equal(size, content.length)
    assert.ok((await layer.read(dataOffset, content.length)).equals(content), path)
  }
}

for (const [what, write] of Object.entries(writers)) {
  test(`${what} is opened by its table of contents, without a first pass`, async (t) => {
    const fixture = await fixtureOf(t, await write(tar, { chunkBytes: 400_000 }))
    const layer = await fixture.open()
    const tree = await layer.ready()
    assert.ok(fixture.blob.ranges.length <= 2, String(fixture.blob.ranges.length))
    assert.equal(layer.isProven, true)
    await assertContent(layer)
    const plain = await layerFixture(t, tar)
    const expected = await (await plain.open()).ready()
    assert.deepEqual(shown(tree.root), shown(expected.root))
    assert.deepEqual(
      [...(tree.root.children?.keys() ?? [])].filter(
        (name) => name.includes('stargz') || name.includes('landmark'),
      ),
      [],
    )
  })

  test(`${what} without its annotations is read like any other layer, its bookkeeping hidden`, async (t) => {
    const { blob } = await write(tar)
    const layer = await (await fixtureOf(t, { blob, annotations: {} })).open()
    await assertContent(layer)
    const tree = await layer.ready()
    assert.deepEqual([...(tree.root.children?.keys() ?? [])].sort(), [
      'disk',
      'etc',
      'null',
      'pipe',
      '\u00c3\u00bctf',
    ])
    assert.equal(layer.size > disk.length, true)
  })

  test(`who reads a file of ${what} forward finds the next chunks decoded, each once`, async (t) => {
    for (const chunkBytes of [1 << 20, 70_000]) {
      const fixture = await fixtureOf(t, await write(tar, { chunkBytes }))
      const layer = await fixture.open()
      const { dataOffset = 0 } = nodeAt(await layer.ready(), 'disk/disk.img').member ?? {}
      const opening = fixture.blob.fetchedBytes
      const step = 512 << 10
      const decoded = async (): Promise<number> => (await layer.status()).spansInflated
      // Somewhere, and somewhere else: nothing comes by itself.
      await layer.read(dataOffset + 5_000_000, 100)
      await layer.read(dataOffset + 2_000_000, 100)
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.equal(await decoded(), 2)
      for (let offset = 0; offset < disk.length; offset += step) {
        const expected = disk.subarray(offset, offset + step)
        if (offset >= 4 << 20) await inMemory(layer, dataOffset + offset, expected.length)
        assert.ok((await layer.read(dataOffset + offset, expected.length)).equals(expected))
      }
      // The file after it is one chunk more at most, and the one before another.
      const chunks = Math.ceil(disk.length / chunkBytes)
      assert.ok((await decoded()) <= chunks + 2, `${String(await decoded())} decoded of ${String(chunks)}`)
      const fetched = fixture.blob.fetchedBytes - opening
      assert.ok(fetched <= fixture.blob.size, `${String(fetched)} of ${String(fixture.blob.size)} bytes`)
      assert.ok(fixture.blob.ranges.length <= 16, `${String(fixture.blob.ranges.length)} requests`)
    }
  })

  test(`a chunk of ${what} that is not what the table says is refused, others are not`, async (t) => {
    const written = await write(tar, { chunkBytes: 400_000 })
    const fixture = await fixtureOf(t, written)
    const { dataOffset = 0 } = nodeAt(await (await fixture.open()).ready(), 'disk/disk.img').member ?? {}
    // The last chunk of the disk ends before the small text.
    const at = Math.floor(written.blob.length * 0.6)
    fixture.blob.bytes = Buffer.from(written.blob)
    fixture.blob.bytes.fill(0x55, at, at + 2000)
    const fresh = await fixture.open()
    let refused = 0
    for (let offset = 0; offset < disk.length; offset += 400_000) {
      const expected = disk.subarray(offset, offset + 1000)
      const bytes = await fresh.read(dataOffset + offset, 1000).catch((error: unknown) => {
        assert.match(String((error as { code?: string }).code), /DIGEST_MISMATCH|CORRUPT/)
        refused++
        return expected
      })
      assert.ok(bytes.equals(expected))
    }
    assert.ok(refused >= 1 && refused <= 2, String(refused))
  })
}

const firstFile = (toc: Toc): Record<string, unknown> =>
  toc.entries.find((entry) => entry['name'] === 'disk/disk.img') ?? {}
for (const [what, spoil] of [
  ['of another version', (toc: Toc) => (toc.version = 2)],
  ['with an offset outside of the blob', (toc: Toc) => (firstFile(toc)['offset'] = 1e12)],
  ['with a negative offset', (toc: Toc) => (firstFile(toc)['offset'] = -1)],
  ['with a size that overflows', (toc: Toc) => (firstFile(toc)['size'] = 2 ** 60)],
  ['with a size that is no number', (toc: Toc) => (firstFile(toc)['size'] = '5')],
  ['with a gap between chunks', (toc: Toc) => (firstFile(toc)['chunkSize'] = 1000)],
  [
    'with chunks that overlap',
    (toc: Toc) =>
      toc.entries.splice(toc.entries.indexOf(firstFile(toc)) + 1, 0, { ...firstFile(toc), type: 'chunk' }),
  ],
  [
    'with a chunk of a gigabyte',
    (toc: Toc) => Object.assign(firstFile(toc), { chunkSize: 2 ** 30, size: 2 ** 30 }),
  ],
  ['without a chunk digest', (toc: Toc) => delete firstFile(toc)['chunkDigest']],
  ['with a type that nobody knows', (toc: Toc) => (firstFile(toc)['type'] = 'door')],
  ['with a chunk of nothing', (toc: Toc) => toc.entries.unshift({ type: 'chunk', name: 'x' })],
  ['with entries that are none', (toc: Toc) => toc.entries.push(null as never)],
  ['with a time that is none', (toc: Toc) => (firstFile(toc)['modtime'] = 'yesterday')],
  ['with a name that is not UTF-8', (toc: Toc) => (firstFile(toc)['name'] = 'x\ufffd')],
  ['with a name that has a NUL', (toc: Toc) => (firstFile(toc)['name'] = 'a\0b')],
] as const) {
  test(`a table of contents ${what} is not used, and the layer read without it`, async (t) => {
    for (const write of Object.values(writers)) {
      const fixture = await fixtureOf(t, await write(tar, { chunkBytes: 2 << 20, spoil }))
      const layer = await fixture.open()
      await assertContent(layer)
      assert.ok((await layer.status()).frontierUncompressed > tar.length - 1024, 'a first pass has read it')
    }
  })
}

test('a table of contents that has not the digest of the annotation is not used', async (t) => {
  for (const write of Object.values(writers)) {
    const { blob, annotations } = await write(tar)
    const wrong = Object.fromEntries(
      Object.entries(annotations).map(([key, value]) => [key, value.replace(/^sha256:..../, 'sha256:0000')]),
    )
    const layer = await (await fixtureOf(t, { blob, annotations: wrong })).open()
    await assertContent(layer)
    assert.ok(layer.size > tar.length - 1024)
  }
})

test('a table of contents that is no JSON, or whose place lies outside, is not used', async (t) => {
  const { blob, annotations } = await zstdChunkedOf(tar)
  const place = 'io.github.containers.zstd-chunked.manifest-position'
  const layers = [
    await estargzOf(tar, { spoilText: () => '{' }),
    await estargzOf(tar, { spoilText: () => 'null' }),
    { blob, annotations: { ...annotations, [place]: '99999999999:100:100:1' } },
    { blob, annotations: { ...annotations, [place]: '100:100:999999999999:1' } },
    { blob, annotations: { ...annotations, [place]: 'x' } },
  ]
  for (const layer of layers) await assertContent(await (await fixtureOf(t, layer)).open())
})
