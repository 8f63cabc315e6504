import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ImageNode } from '../../../src/image/image.js'
import { MergedView } from '../../../src/image/merged-view.js'
import type { Layer } from '../../../src/layer/layer.js'
import { hasCode, RegistryFsError } from '../../../src/util/errors.js'
import { silentLogger, type Logger } from '../../../src/util/log.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { dir, file, hardlink, tarOf, type TarPart } from '../../support/tar-of.js'

async function fixturesOf(
  t: TestContext,
  ...layers: readonly (readonly TarPart[])[]
): Promise<LayerFixture[]> {
  return Promise.all(layers.map(async (parts) => layerFixture(t, tarOf(...parts))))
}

async function opened(fixtures: readonly LayerFixture[]): Promise<readonly Layer[]> {
  return Promise.all(fixtures.map(async (fixture) => fixture.open()))
}

function warningsInto(warnings: string[]): Logger {
  const warn = (_: unknown, message?: string): unknown => warnings.push(message ?? '')
  return { ...silentLogger, warn: warn }
}

async function namesIn(directory: ImageNode): Promise<readonly string[]> {
  const entries = await directory.entries()
  return entries.map(({ name, node }) => `${name.toString()} ${String(node.attributes.linkCount)}`)
}

async function watched(directory: ImageNode): Promise<readonly string[]> {
  const names: string[] = []
  for await (const { name } of directory.watch()) names.push(name.toString())
  return names.sort()
}

const base = [
  file('a', 'a'),
  hardlink('lost', 'nowhere'),
  hardlink('round', 'about'),
  hardlink('about', 'round'),
]
const above = [
  hardlink('again', 'lost'),
  hardlink('b', 'a'),
  hardlink('hidden', 'nowhere'),
  dir('d'),
  hardlink('d/lost', 'lost/x'),
]
const top = [file('lost/in', ''), hardlink('c', 'b'), file('hidden', ''), hardlink('behind', 'again/x')]

test('a hard link that leads nowhere is not listed, told of once, and by its name an error with the reason', async (t) => {
  const warnings: string[] = []
  const layers = await opened(await fixturesOf(t, base, above, top))
  const view = new MergedView(layers, warningsInto(warnings))
  const { root } = view
  for (let time = 0; time < 2; time++) {
    assert.deepEqual(await watched(root), ['a', 'b', 'c', 'd', 'hidden', 'lost'])
    assert.deepEqual(await namesIn(root), ['a 3', 'b 3', 'c 3', 'd 1', 'hidden 1', 'lost 1'])
    const d = (await root.lookup(Buffer.from('d'))) as ImageNode
    assert.deepEqual([await watched(d), await namesIn(d)], [[], []])
    const wrong = { again: 'lost', round: 'about', about: 'about', behind: 'again/x' }
    for (const [name, target] of Object.entries(wrong)) {
      const reason = new RegExp(`^CORRUPT a hard link to "${target}", which no layer below has`)
      await assert.rejects(root.lookup(Buffer.from(name)), (error: unknown) => {
        assert.ok(error instanceof RegistryFsError)
        assert.match(`${error.code} ${error.message}`, reason)
        assert.equal(error.layer, layers[name === 'again' ? 1 : name === 'behind' ? 2 : 0]?.descriptor.digest)
        assert.ok(error.offset !== undefined)
        return true
      })
    }
    assert.equal(await root.lookup(Buffer.from('nowhere')), undefined)
  }
  const told = (name: string, target: string): string =>
    `a member is not shown: "${name}" is a hard link to "${target}", which no layer below has`
  const expected = [
    told('again', 'lost'),
    told('round', 'about'),
    told('about', 'about'),
    told('behind', 'again/x'),
    told('d/lost', 'lost/x'),
  ]
  assert.deepEqual(warnings.sort(), expected.sort())
})

test('a thousand hard links that lead nowhere are told of ten times', async (t) => {
  const warnings: string[] = []
  const links = Array.from({ length: 1000 }, (_, i) => hardlink(`l${String(i)}`, 'nowhere'))
  const layers = await opened(await fixturesOf(t, [file('a', ''), ...links]))
  const { root } = new MergedView(layers, warningsInto(warnings))
  assert.deepEqual(await namesIn(root), ['a 1'])
  assert.equal(warnings.length, 10)
})

test('a layer that cannot be read fails a listing, whatever hard links lead into it', async (t) => {
  const fixtures = await fixturesOf(t, base, above)
  const [lowest] = fixtures
  assert.ok(lowest !== undefined)
  lowest.blob.before = () => {
    throw new RegistryFsError('UNAVAILABLE', 'the registry is away')
  }
  const warnings: string[] = []
  const { root } = new MergedView(await opened(fixtures), warningsInto(warnings))
  const isAway = (error: unknown): boolean => hasCode(error, 'UNAVAILABLE')
  await assert.rejects(root.entries(), isAway)
  await assert.rejects(watched(root), isAway)
  await assert.rejects(root.lookup(Buffer.from('again')), isAway)
  await assert.rejects(root.entries({ signal: AbortSignal.abort() }), (error) => hasCode(error, 'ABORTED'))
  assert.deepEqual(warnings, [])
})
