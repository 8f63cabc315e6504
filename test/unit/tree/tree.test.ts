import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReference } from '../../../src/registry/reference.js'
import type { TreeNode } from '../../../src/tree/node.js'
import { Tree } from '../../../src/tree/tree.js'
import { hasCode, RegistryFsError } from '../../../src/util/errors.js'
import { dir, file, MemoryImages } from '../../support/memory-images.js'

function treeOf(
  images: MemoryImages,
  aliases: Readonly<Record<string, string>> = {},
  defaultHost = 'docker.io',
  onlyAliases = false,
): Tree {
  return new Tree({
    images,
    registry: images,
    status: async () => Promise.resolve({}),
    defaultHost,
    configuredHosts: onlyAliases ? ['quay.io'] : [],
    onlyAliases,
    aliases: new Map(Object.entries(aliases).map(([name, text]) => [name, parseReference(text)])),
  })
}

async function find(tree: Tree, path: string): Promise<TreeNode | undefined> {
  let node: TreeNode | undefined = tree.root
  for (const name of path.split('/').filter((part) => part !== '')) {
    node = (await node?.lookup(Buffer.from(name)))?.node
  }
  return node
}

async function names(node: TreeNode | undefined): Promise<string[]> {
  return ((await node?.entries()) ?? []).map((entry) => entry.name.toString())
}

function imagesOf(...texts: string[]): MemoryImages {
  const images = new MemoryImages()
  for (const text of texts) images.set(text, dir({ [`of ${text.replaceAll('/', ' ')}`]: file('x') }))
  return images
}

const shown: readonly [path: string, image: string][] = [
  ['/quay.io/containerdisks/fedora:40', 'quay.io/containerdisks/fedora:40'],
  ['/quay.io/containerdisks/fedora', 'quay.io/containerdisks/fedora:latest'],
  ['/quay.io/one', 'quay.io/one:latest'],
  ['/QUAY.io/one', 'quay.io/one:latest'],
  ['/debian:12', 'docker.io/library/debian:12'],
  ['/debian', 'docker.io/library/debian:latest'],
  ['/docker.io/debian', 'docker.io/library/debian:latest'],
  ['/docker.io/library/debian', 'docker.io/library/debian:latest'],
  ['/index.docker.io/debian', 'docker.io/library/debian:latest'],
  ['/kubevirt/disk', 'docker.io/kubevirt/disk:latest'],
  ['/a/b/c:1', 'docker.io/a/b/c:1'],
  ['/alias', 'quay.io/containerdisks/fedora:40'],
]

for (const [path, image] of shown) {
  test(`${path} shows ${image}`, async () => {
    const node = await find(treeOf(imagesOf(image), { alias: 'quay.io/containerdisks/fedora:40' }), path)
    assert.deepEqual(
      await names(node),
      [`of ${image.replaceAll('/', ' ')}`].map((name) => name),
    )
  })
}

test('with --registry names without a host are there, without the library rule', async () => {
  const node = await find(treeOf(imagesOf('quay.io/one:1'), {}, 'quay.io'), '/one:1')
  assert.deepEqual(await names(node), ['of quay.io one:1'])
})

test('an image that does not exist is not found, a repository name always is a directory', async () => {
  const tree = treeOf(imagesOf())
  assert.equal(await find(tree, '/quay.io/none:1'), undefined)
  assert.equal(await find(tree, '/none:1'), undefined)
  assert.deepEqual(await names(await find(tree, '/quay.io/none')), [])
})

test('the way to a tagged image asks for nothing but that image', async () => {
  const images = imagesOf('quay.io/a/b:1')
  await find(treeOf(images), '/quay.io/a/b:1')
  assert.deepEqual(images.requests, ['open quay.io/a/b:1'])
})

test('the attributes of names at the top cost no request', async () => {
  const images = imagesOf('quay.io/x:1')
  const tree = treeOf(images, { x: 'quay.io/x:1' })
  for (const entry of await tree.root.entries())
    await (await find(tree, entry.name.toString()))?.getAttributes()
  assert.deepEqual(images.requests, [])
})

test('listings show images that were opened where the registry has no catalog', async () => {
  const images = imagesOf('docker.io/library/debian:12', 'docker.io/kubevirt/disk:1', 'quay.io/x:1')
  const tree = treeOf(images)
  for (const path of ['/debian:12', '/kubevirt/disk:1', '/quay.io/x:1']) await find(tree, path)
  assert.deepEqual(await names(tree.root), ['.registryfs', 'debian:12', 'kubevirt', 'quay.io'])
  assert.deepEqual(await names(await find(tree, '/kubevirt')), ['disk:1'])
})

test('a catalog is listed level by level, a name alone only where it is an image or a namespace', async () => {
  const images = imagesOf('r.io/a:1', 'r.io/a:2', 'r.io/b:latest', 'r.io/n/c:1', 'r.io/n/m/d:1')
  const tree = treeOf(images)
  assert.deepEqual(await names(await find(tree, '/r.io')), ['a:1', 'a:2', 'b', 'b:latest', 'n'])
  assert.deepEqual(await names(await find(tree, '/r.io/n')), ['c:1', 'm'])
  assert.deepEqual(await names(await find(tree, '/r.io/n/m')), ['d:1'])
  assert.equal(images.requests.filter((request) => request === 'catalog r.io').length, 1)
})

test('a name without a tag is a directory, empty where nothing below it is known', async () => {
  const tree = treeOf(imagesOf('r.io/a:1'))
  assert.deepEqual(await names(await find(tree, '/r.io/none')), [])
  assert.deepEqual(await names(await find(tree, '/r.io/none/deeper')), [])
  assert.equal(await find(tree, '/r.io/none:1'), undefined)
})

test('a registry that refuses to say whether there is a latest has a namespace there', async () => {
  const images = imagesOf('quay.io/n/x:1')
  images.fail('quay.io/n:latest', new RegistryFsError('UNAUTHORIZED', 'who are you'))
  assert.deepEqual(await names(await find(treeOf(images), '/quay.io/n')), ['x:1'])
})

test('a registry that is down is no missing file', async () => {
  const images = imagesOf()
  images.fail('quay.io/n/x:1', new RegistryFsError('UNAVAILABLE', 'down'))
  await assert.rejects(find(treeOf(images), '/quay.io/n/x:1'), (error) => hasCode(error, 'UNAVAILABLE'))
})

test('the same file is the same node, and another one under another name of its image', async () => {
  const tree = treeOf(imagesOf('quay.io/x:1'), { x: 'quay.io/x:1' })
  const path = '/of quay.io x:1'
  const first = await find(tree, `/quay.io/x:1${path}`)
  assert.equal(await find(tree, `/quay.io/x:1${path}`), first)
  assert.notEqual(await find(tree, `/x${path}`), first)
})

test('a tag that has moved leads to new nodes, the old ones stay as they were', async () => {
  const images = imagesOf('quay.io/x:1')
  const tree = treeOf(images)
  const old = await find(tree, '/quay.io/x:1')
  images.set('quay.io/x:1', dir({ new: file('new') }))
  const now = await find(tree, '/quay.io/x:1')
  assert.notEqual(now, old)
  assert.deepEqual(await names(now), ['new'])
  assert.deepEqual(await names(old), ['of quay.io x:1'])
})

test('a name below an image is believed for ever, one that depends on a tag for a moment', async () => {
  const tree = treeOf(imagesOf('quay.io/x:1', 'quay.io/y:latest'), { y: 'quay.io/y:latest' })
  const validOf = async (directory: string, name: string): Promise<number | undefined> =>
    (await (await find(tree, directory))?.lookup(Buffer.from(name)))?.validMs
  assert.equal(await validOf('/quay.io/x:1', 'of quay.io x:1'), Infinity)
  assert.equal(await validOf('/quay.io', 'x:1'), 1_000)
  assert.equal(await validOf('/quay.io/y', 'of quay.io y:latest'), 1_000)
  assert.equal(await validOf('/y', 'of quay.io y:latest'), 1_000)
})

test('the status is the same text for all reads of one open', async () => {
  let count = 0
  const images = imagesOf()
  const tree = new Tree({
    images,
    registry: images,
    status: async () => Promise.resolve({ count: ++count }),
    defaultHost: 'docker.io',
    configuredHosts: [],
    aliases: new Map(),
  })
  const node = await find(tree, '/.registryfs/status.json')
  const { size } = (await node?.getAttributes()) ?? {}
  const source = await node?.open()
  assert.equal(source?.size, size)
  const text = await source?.read(0, 10_000)
  assert.deepEqual(JSON.parse(text?.toString() ?? ''), { count: 1, errors: [] })
})

test('with only aliases no other name exists, and nothing is asked for one', async () => {
  const images = imagesOf('quay.io/one:1', 'docker.io/library/debian:latest')
  const asked: string[] = []
  const open = images.open.bind(images)
  const exists = images.exists.bind(images)
  images.open = async (reference, ...rest) => {
    asked.push(reference.path)
    return open(reference, ...rest)
  }
  images.exists = async (reference, ...rest) => {
    asked.push(reference.path)
    return exists(reference, ...rest)
  }
  const tree = treeOf(images, { alias: 'quay.io/one:1' }, 'docker.io', true)
  for (const path of [
    '/debian',
    '/debian:latest',
    '/quay.io',
    '/quay.io/one:1',
    '/127.0.0.1:22/x:1',
    '/localhost',
  ])
    assert.equal(await find(tree, path), undefined, path)
  assert.deepEqual(asked, [])
  assert.deepEqual(await names(await find(tree, '/alias')), ['of quay.io one:1'])
  assert.deepEqual(await names(tree.root), ['.registryfs', 'alias'])
})
