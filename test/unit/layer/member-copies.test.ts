import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryCache } from '../../../src/blob/memory-cache.js'
import type { ByteSource, SourceReadOptions, Whence } from '../../../src/blob/source.js'
import { MemberCopies, type OpenedMember } from '../../../src/layer/member-copies.js'
import { abortable } from '../../../src/util/abort.js'
import { Deferred } from '../../../src/util/deferred.js'
import { digestHex, digestOf } from '../../../src/util/digest.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { silentLogger } from '../../../src/util/log.js'
import { sampleData } from '../../support/sample-data.js'
import { memberStore } from '../../support/member-store.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const layer = digestOf(Buffer.from('a layer'))
const mib = 1 << 20
const content = sampleData('random', 9 * mib + 1234)

/** Bytes of which some runs are holes, as any layer tells them: not where blocks of the file system begin. */
class Source implements ByteSource {
  readonly size: number
  readonly #bytes: Buffer
  readonly #holes: readonly (readonly [start: number, end: number])[]
  reads = 0
  onRead: (signal?: AbortSignal) => Promise<void> = async () => Promise.resolve()

  constructor(bytes: Buffer, holes: readonly (readonly [start: number, end: number])[] = []) {
    this.size = bytes.length
    this.#bytes = bytes
    this.#holes = holes
  }

  async read(offset: number, length: number, options: SourceReadOptions = {}): Promise<Buffer> {
    this.reads++
    await this.onRead(options.signal)
    return this.#bytes.subarray(offset, offset + length)
  }

  async seek(whence: Whence, offset: number, end: number): Promise<number> {
    let at = offset
    while (at < end) {
      const hole = this.#holes.find(([start, stop]) => start <= at && at < stop)
      if ((hole !== undefined) === (whence === 'hole')) break
      at = hole?.[1] ?? Math.min(end, ...this.#holes.map(([start]) => (start > at ? start : Infinity)))
    }
    return Promise.resolve(Math.min(at, end))
  }
}

async function setUp(t: TestContext, directory?: string) {
  const place = directory ?? (await temporaryDirectory(t))
  const { pool } = new MemoryCache(32 * mib)
  const store = await memberStore(place, { pool })
  const copies = new MemberCopies({ store, pool, log: silentLogger })
  t.after(async () => copies.close())
  return { store, copies, directory: place }
}

function member(source: ByteSource, given: Partial<OpenedMember['layer']> = {}): OpenedMember {
  return {
    place: { layer, offset: 512, size: source.size },
    layer: { isProven: true, isTar: true, ready: async () => Promise.resolve(), ...given },
    source,
    settle: async () => Promise.resolve(),
    dataBytes: () => source.size,
  }
}

/** Nothing is being copied or checked. */
async function settled(copies: MemberCopies): Promise<void> {
  while (copies.status().pending > 0) await sleep(10)
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(join(directory, 'sha256', digestHex(layer))).catch(() => [])
}

test('a member is copied when 1 MiB of it was read, once its layer is proven, and read from there then', async (t) => {
  const { copies, store } = await setUp(t)
  const source = new Source(content)
  const proof = new Deferred<void>()
  const unproven = { isProven: false, isTar: true, ready: async () => proof.promise }
  const given = { ...member(source), layer: unproven }
  const opened = await copies.open(given)
  const other = await copies.open(given)
  await opened.read(0, mib - 1)
  assert.equal(copies.status().pending, 0)
  await opened.read(0, 1)
  await other.read(0, 2 * mib)
  assert.equal(copies.status().pending, 1)
  await sleep(50)
  assert.equal(store.count, 0)
  unproven.isProven = true
  proof.resolve()
  await settled(copies)
  assert.deepEqual([store.count, copies.status().copied], [1, 1])

  // Those that were open too.
  const { reads } = source
  for (const one of [opened, other, await copies.open(given)]) {
    assert.ok((await one.read(5, 3 * mib)).equals(content.subarray(5, 5 + 3 * mib)))
    assert.ok((await one.read(content.length - 10, 100)).equals(content.subarray(-10)))
    assert.equal((await one.read(content.length, 100)).length, 0)
    assert.ok((one.backing?.descriptor ?? -1) >= 0)
    one.release?.()
  }
  assert.equal(source.reads, reads + 3)
})

test('what is small, in a table of contents, or never proven is not copied', async (t) => {
  const { copies, store } = await setUp(t)
  for (const given of [
    member(new Source(content.subarray(0, mib - 1))),
    member(new Source(content), { isTar: false }),
    member(new Source(content), { isProven: false }),
    member(new Source(content), {
      ready: async () => Promise.reject(new RegistryFsError('CORRUPT', 'a bad layer')),
    }),
  ]) {
    const opened = await copies.open(given)
    await opened.read(0, content.length)
    await settled(copies)
    opened.release?.()
  }
  assert.equal(store.count, 0)
})

test('a sparse member of a tree that turned out wrong is not copied, although nothing of it would be read', async (t) => {
  const { copies, store } = await setUp(t)
  const bytes = Buffer.alloc(2 * mib)
  const given = {
    ...member(new Source(bytes, [[0, bytes.length]])),
    settle: async () => Promise.reject(new RegistryFsError('GONE', 'another is there')),
  }
  const opened = await copies.open(given)
  await opened.read(0, bytes.length)
  await settled(copies)
  assert.equal(store.count, 0)
})

test('holes stay holes, as far as the file system can have them', async (t) => {
  const { copies, store, directory } = await setUp(t)
  const bytes = Buffer.alloc(40 * mib)
  const holes: (readonly [number, number])[] = [[10 * mib + 100, 39 * mib]]
  content.copy(bytes)
  content.copy(bytes, 39 * mib, 0, mib)
  for (const [start, end] of [
    [1000, 6000],
    [100_000, 200_001],
    [mib + 1, mib + 8193],
    [4 * mib - 5000, 4 * mib + 5000],
  ] as const) {
    bytes.fill(0, start, end)
    holes.push([start, end])
  }
  const opened = await copies.open(member(new Source(bytes, holes)))
  await opened.read(0, mib)
  await settled(copies)
  const name = `512-${String(bytes.length)}`
  const { blocks } = await stat(join(directory, 'sha256', digestHex(layer), name))
  // What the holes hold of whole blocks, and two more blocks: one is cut, one is the file system's own.
  assert.ok(blocks * 512 <= 11 * mib + 2 * 4096 - (23 + 1 + 2) * 4096, String(blocks * 512))
  assert.equal(store.count, 1)
  // Checked by another process, and read there.
  const next = (await setUp(t, directory)).copies
  const again = await next.open(member(new Source(Buffer.alloc(bytes.length))))
  assert.ok((await again.read(0, bytes.length)).equals(bytes))
})

test('a member that cannot be read whole is left to its layer, and nothing of it on disk', async (t) => {
  const { copies, store, directory } = await setUp(t)
  const source = new Source(content)
  const opened = await copies.open(member(source))
  source.onRead = async () => {
    if (source.reads > 2) throw new RegistryFsError('UNAVAILABLE', 'the registry is gone')
    return Promise.resolve()
  }
  await opened.read(0, mib)
  await settled(copies)
  assert.deepEqual([store.count, await namesIn(directory)], [0, []])
  // The next who reads has another try.
  source.onRead = async () => Promise.resolve()
  await (await copies.open(member(source))).read(0, mib)
  await settled(copies)
  assert.equal(store.count, 1)
})

test('stopping waits for no copy and leaves nothing of it', async (t) => {
  const { copies, directory } = await setUp(t)
  const source = new Source(content)
  const opened = await copies.open(member(source))
  await opened.read(0, mib)
  const stuck = new Deferred<void>()
  source.onRead = async (signal) => {
    stuck.resolve()
    return abortable(new Promise<never>(() => undefined), signal)
  }
  await stuck.promise
  await copies.close()
  assert.deepEqual(await namesIn(directory), [])
  source.onRead = async () => Promise.resolve()
  assert.ok((await opened.read(0, 100)).equals(content.subarray(0, 100)))
})

test('a file of an earlier process is checked while it is read, and a damaged one given up for the layer', async (t) => {
  const first = await setUp(t)
  await (await first.copies.open(member(new Source(content)))).read(0, mib)
  await settled(first.copies)
  const source = new Source(content)
  const { copies, store } = await setUp(t, first.directory)
  const opened = await copies.open(member(source))
  assert.equal(opened.backing?.descriptor, undefined)
  opened.backing?.onWanted()
  await settled(copies)
  assert.notEqual(opened.backing?.descriptor, undefined)
  assert.ok((await opened.read(0, content.length)).equals(content))
  assert.equal(source.reads, 0)
  opened.release?.()
  // Nothing is left open, nor in use.
  assert.equal(store.has(member(source).place), true)
  const again = await store.acquire(member(source).place)
  again?.release()
  assert.equal(again?.isInUse, false)
})
