import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import { Demand } from '../../../src/layer/demand.js'
import type { Layer } from '../../../src/layer/layer.js'
import { PassTurns, type PassTurn } from '../../../src/layer/pass-turns.js'
import { passBytes } from '../../../src/layer/pass-sizes.js'
import { Deferred } from '../../../src/util/deferred.js'
import { layerFixture, type LayerFixture } from '../../support/layer-fixture.js'
import { sampleData } from '../../support/sample-data.js'
import { file, tarOf } from '../../support/tar-of.js'

interface Work {
  readonly demand: Demand
  readonly done: Promise<void>
  /** While it runs. */
  turn: PassTurn | undefined
  end(): void
}

function needed(isNeeded = true): Demand {
  const demand = new Demand(0)
  if (isNeeded) demand.hold()
  return demand
}

/** Work that goes on until it is ended, or has to give its turn away. */
function start(turns: PassTurns, memory: MemoryCache, demand: Demand): Work {
  const ended = new Deferred<void>()
  const run = async (turn: PassTurn): Promise<void> => {
    work.turn = turn
    turn.signal.addEventListener('abort', () => {
      ended.resolve()
    })
    await ended.promise
    work.turn = undefined
  }
  const work: Work = {
    demand,
    turn: undefined,
    end: () => {
      ended.resolve()
    },
    done: Promise.resolve(),
  }
  return Object.assign(work, { done: turns.run(demand, memory, run) })
}

const soon = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('two passes run, and after the time that one may have to wait a third, never a fourth', async () => {
  const memory = new MemoryCache(1 << 30)
  for (const [patienceMs, most] of [
    [1e9, 2],
    [0, 3],
  ] as const) {
    const turns = new PassTurns({ patienceMs, lookMs: 1 })
    const works = Array.from({ length: 6 }, () => start(turns, memory, needed()))
    await soon()
    for (const at of works.keys()) {
      assert.deepEqual(
        works.map(({ turn }) => turn !== undefined),
        works.map((_, i) => i >= at && i < at + most),
      )
      assert.equal(memory.reservedBytes, Math.min(most, works.length - at) * passBytes)
      works[at]?.end()
      await works[at]?.done
      await soon()
    }
    assert.equal(memory.reservedBytes, 0)
  }
})

test('a pass that nobody needs gives way to one that somebody needs, and to no other', async () => {
  const memory = new MemoryCache(1 << 30)
  const turns = new PassTurns({ patienceMs: 1e9, lookMs: 1 })
  const first = start(turns, memory, needed())
  const left = start(turns, memory, needed())
  const nobodys = start(turns, memory, needed(false))
  left.demand.release()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const running = (): readonly boolean[] => [first, left, nobodys].map(({ turn }) => turn !== undefined)
  assert.deepEqual(running(), [true, true, false])
  const somebodys = start(turns, memory, needed())
  await left.done
  await soon()
  // Before the one that has waited longer.
  assert.deepEqual(running(), [true, false, false])
  assert.ok(somebodys.turn !== undefined)
  for (const work of [first, somebodys, nobodys]) work.end()
  await Promise.all([first.done, somebodys.done, nobodys.done])
})

test('who waits for a turn gets on as those do that have one', async () => {
  const memory = new MemoryCache(1 << 30)
  const turns = new PassTurns({ patienceMs: 1e9 })
  const [one, other, third] = [needed(), needed(), needed()].map((demand) => start(turns, memory, demand))
  assert.ok(one && other && third)
  await soon()
  assert.ok(one.turn && other.turn)
  let bytes = 5
  one.turn.progress = () => bytes
  other.turn.progress = () => 100
  assert.equal(turns.progressFor(one.demand), undefined)
  assert.equal(turns.progressFor(third.demand), 105)
  bytes = 7
  assert.equal(turns.progressFor(third.demand), 107)
  const last = start(turns, memory, needed())
  one.end()
  await one.done
  assert.equal(turns.progressFor(third.demand), undefined)
  // No less than before.
  assert.equal(turns.progressFor(last.demand), 108)
  for (const work of [other, third, last]) work.end()
  await Promise.all([other.done, third.done, last.done])
})

const long = tarOf(file('a', sampleData('random', 48 << 20)), file('b', 'b'))
const longCompressed = gzipSync(long, { level: 1 })

interface Gated {
  readonly fixture: LayerFixture
  readonly layer: Layer
  readonly open: () => void
}

/** Whose registry has stopped in the middle. */
async function gated(t: TestContext, passes: PassTurns): Promise<Gated> {
  const fixture = await layerFixture(t, long, longCompressed)
  const gate = new Deferred<void>()
  fixture.blob.before = async (offset) => (offset < fixture.blob.size / 2 ? undefined : gate.promise)
  const layer = await fixture.open({ passes })
  t.after(() => {
    gate.resolve()
  })
  return { fixture, layer, open: gate.resolve }
}

async function untilHalf({ fixture, layer }: Gated): Promise<void> {
  await layer.until(() => (layer.size > fixture.blob.size / 3 ? true : undefined))
}

test('two passes whose readers have gone lock nobody out, and go on where they were when they are needed', async (t) => {
  const passes = new PassTurns({ patienceMs: 1e9, lookMs: 1 })
  const two = [await gated(t, passes), await gated(t, passes)]
  for (const one of two) await untilHalf(one)
  const small = await layerFixture(t, tarOf(file('small', 'small')))
  const layer = await small.open({ passes })
  layer.demand.hold()
  const ready = layer.ready()
  for (const { open } of two) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    open()
  }
  assert.equal((await ready).root.children?.get('small')?.member?.size, 5)
  for (const { fixture, layer: one } of two) {
    await one.ready()
    assert.ok((await one.read(512, 1 << 20)).equals(long.subarray(512, 512 + (1 << 20))))
    assert.ok(fixture.blob.fetchedBytes <= fixture.blob.size + (8 << 20), String(fixture.blob.fetchedBytes))
  }
})

test('what somebody waits for behind two passes that are needed is read beside them', async (t) => {
  const passes = new PassTurns({ patienceMs: 10, lookMs: 1 })
  const two = [await gated(t, passes), await gated(t, passes)]
  for (const one of two) {
    one.layer.demand.hold()
    await untilHalf(one)
  }
  const small = await layerFixture(t, tarOf(file('small', 'small')))
  const layer = await small.open({ passes })
  layer.demand.hold()
  assert.equal((await layer.ready()).root.children?.get('small')?.member?.size, 5)
  for (const one of two) assert.equal(one.layer.state, 'reading')
})

test('who reads a layer whose pass gave way waits for its next turn', async (t) => {
  const passes = new PassTurns({ concurrent: 1, patienceMs: 1e9, lookMs: 1 })
  const one = await gated(t, passes)
  await untilHalf(one)
  const end = one.layer.read(45 << 20, 1000)
  const small = await layerFixture(t, tarOf(file('small', 'small')))
  const layer = await small.open({ passes })
  layer.demand.hold()
  const ready = layer.ready()
  await new Promise((resolve) => setTimeout(resolve, 50))
  one.open()
  await ready
  assert.ok((await end).equals(long.subarray(45 << 20, (45 << 20) + 1000)))
  assert.ok(one.fixture.blob.fetchedBytes <= one.fixture.blob.size + (8 << 20))
})

test('an index that another process made while a layer waited for its turn is what it goes by, alone', async (t) => {
  const passes = new PassTurns({ patienceMs: 1e9, lookMs: 1 })
  const memory = new MemoryCache(1 << 30)
  const two = [start(passes, memory, needed()), start(passes, memory, needed())]
  const fixture = await layerFixture(t, long, longCompressed)
  const other = await fixture.open()
  const layer = await fixture.open({ passes })
  layer.demand.hold()
  const ready = layer.ready()
  assert.equal((await layer.status()).state, 'unread')
  await other.ready()
  const { fetchedBytes } = fixture.blob
  // Somebody looks at status.json.
  await layer.status()
  for (const work of two) work.end()
  await ready
  assert.equal(layer.state, 'ready')
  for (const offset of [512, long.length - (1 << 20)])
    assert.ok((await layer.read(offset, 1 << 20)).equals(long.subarray(offset, offset + (1 << 20))))
  // Their spans, and not all of it once more.
  assert.ok(fixture.blob.fetchedBytes - fetchedBytes < fixture.blob.size / 4)
  await Promise.all(two.map(async ({ done }) => done))
})
