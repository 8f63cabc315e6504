import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { DiskChunkStore, type DiskChunkStoreOptions } from '../../../src/blob/disk-chunk-store.js'
import { digestHex, digestOf } from '../../../src/util/digest.js'
import { silentLogger } from '../../../src/util/log.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'
import { withoutDescriptors } from '../../support/without-descriptors.js'

const digest = digestOf(Buffer.from('a blob'))
const other = digestOf(Buffer.from('another blob'))

async function newStore(
  t: TestContext,
  options: Partial<DiskChunkStoreOptions> = {},
): Promise<DiskChunkStore> {
  const store = new DiskChunkStore({
    directory: await temporaryDirectory(t),
    maximumBytes: 1 << 30,
    freeReserveBytes: 0,
    readOnly: false,
    log: silentLogger,
    ...options,
  })
  await store.scan()
  return store
}

function unitPath(directory: string, index: number): string {
  return join(directory, 'sha256', digestHex(digest), String(index))
}

test('a chunk that was saved is loaded, by the next process too', async (t) => {
  const directory = await temporaryDirectory(t)
  const chunk = randomBytes(70_000)
  const first = await newStore(t, { directory })
  assert.equal(await first.save(digest, 7, chunk), true)
  const second = await newStore(t, { directory })
  assert.deepEqual(await second.load(digest, 7, chunk.length), chunk)
  assert.equal(await second.load(digest, 8, chunk.length), undefined)
  assert.equal(await second.load(other, 7, chunk.length), undefined)
  assert.equal(second.bytesOf(digest), chunk.length)
  assert.equal(first.bytesOf(digest), chunk.length)
  await second.remove(digest, 7)
  assert.deepEqual([second.bytesOf(digest), second.usedBytes], [0, 0])
})

for (const [what, damage] of [
  ['a flipped bit', (unit: Buffer): Buffer => (unit.writeUInt8(unit.readUInt8(99) ^ 1, 99), unit)],
  ['a cut end', (unit: Buffer): Buffer => unit.subarray(0, unit.length - 1)],
  ['a longer end', (unit: Buffer): Buffer => Buffer.concat([unit, Buffer.from('x')])],
  ['another chunk number', (unit: Buffer): Buffer => (unit.writeUInt32LE(4, 8), unit)],
  ['nothing in it', (): Buffer => Buffer.alloc(0)],
] as const) {
  test(`a unit file with ${what} is a miss and is deleted`, async (t) => {
    const directory = await temporaryDirectory(t)
    const store = await newStore(t, { directory })
    await store.save(digest, 3, randomBytes(5000))
    await writeFile(unitPath(directory, 3), damage(await readFile(unitPath(directory, 3))))
    assert.equal(await store.load(digest, 3, 5000), undefined)
    await assert.rejects(stat(unitPath(directory, 3)))
    assert.equal(store.usedBytes, 0)
  })
}

test('a unit that no descriptor is there for is a miss, and there as soon as there is one', async (t) => {
  const store = await newStore(t)
  const chunk = randomBytes(5000)
  await store.save(digest, 3, chunk)
  const { usedBytes } = store
  assert.equal(await withoutDescriptors(async () => store.load(digest, 3, 5000)), undefined)
  assert.match(store.lastError ?? '', /EMFILE/)
  assert.equal(store.usedBytes, usedBytes)
  assert.deepEqual(await store.load(digest, 3, 5000), chunk)
})

test('a unit that the disk does not give is a miss and is deleted', async (t) => {
  const directory = await temporaryDirectory(t)
  const store = await newStore(t, { directory })
  await store.save(digest, 3, randomBytes(5000))
  await rm(unitPath(directory, 3))
  // Of a process nothing lies at its first addresses: reading there is EIO.
  await symlink('/proc/self/mem', unitPath(directory, 3))
  assert.equal(await store.load(digest, 3, 5000), undefined)
  assert.match(store.lastError ?? '', /EIO/)
  assert.equal(store.usedBytes, 0)
  await assert.rejects(stat(unitPath(directory, 3)))
})

test('the cap is kept and the least recently used chunk goes first', async (t) => {
  const store = await newStore(t, { maximumBytes: 3 * 1100 })
  for (const index of [0, 1, 2]) await store.save(digest, index, Buffer.alloc(1000, index))
  await store.load(digest, 0, 1000)
  await store.save(digest, 3, Buffer.alloc(1000, 3))
  assert.equal(await store.load(digest, 1, 1000), undefined)
  for (const index of [0, 2, 3]) assert.notEqual(await store.load(digest, index, 1000), undefined)
  assert.ok(store.usedBytes <= 3 * 1100)
})

test('the order of use survives a restart', async (t) => {
  const directory = await temporaryDirectory(t)
  const first = await newStore(t, { directory })
  for (const index of [0, 1, 2]) {
    await first.save(digest, index, Buffer.alloc(1000))
    await utimes(unitPath(directory, index), 1000 + ((index + 1) % 3), 1000 + ((index + 1) % 3))
  }
  const second = await newStore(t, { directory, maximumBytes: 3 * 1100 })
  await second.save(digest, 9, Buffer.alloc(1000))
  assert.deepEqual((await readdir(join(directory, 'sha256', digestHex(digest)))).sort(), ['0', '1', '9'])
})

test('a chunk larger than the cap is not kept', async (t) => {
  const store = await newStore(t, { maximumBytes: 500 })
  assert.equal(await store.save(digest, 0, Buffer.alloc(1000)), false)
})

test('a free-space reserve that cannot be kept means that nothing is written', async (t) => {
  const store = await newStore(t, { freeReserveBytes: Number.MAX_SAFE_INTEGER })
  assert.equal(await store.save(digest, 0, Buffer.alloc(1000)), false)
  assert.match(store.lastError ?? '', /reserve/)
})

test('a directory that vanishes while the store is in use costs misses only', async (t) => {
  const directory = await temporaryDirectory(t)
  const store = await newStore(t, { directory })
  await store.save(digest, 0, Buffer.alloc(1000))
  await rm(directory, { recursive: true })
  assert.equal(await store.load(digest, 0, 1000), undefined)
  assert.equal(typeof (await store.save(digest, 1, Buffer.alloc(1000))), 'boolean')
})

test('a directory that cannot be written to costs the caching only, and says why', async (t) => {
  const directory = join(await temporaryDirectory(t), 'file')
  await writeFile(directory, 'not a directory')
  const store = await newStore(t, { directory })
  assert.equal(await store.save(digest, 0, Buffer.alloc(1000)), false)
  assert.match(store.lastError ?? '', /cannot be written/)
})

test('a write that fails while room is made for another one costs no other chunks', async (t) => {
  const directory = await temporaryDirectory(t)
  const store = await newStore(t, { directory, maximumBytes: 200 * 1032 })
  for (let index = 0; index < 200; index++) await store.save(digest, index, Buffer.alloc(1000))
  const before = store.bytesOf(digest)
  assert.ok(before > 190_000, String(before))
  await writeFile(join(directory, 'sha256', digestHex(other)), 'not a directory')
  const saving = [store.save(digest, 1000, Buffer.alloc(100_000)), store.save(other, 0, Buffer.alloc(10))]
  assert.deepEqual(await Promise.all(saving), [true, false])
  assert.ok(store.bytesOf(digest) > before - 5_000, String(store.bytesOf(digest)))
})

test('an error of the disk is over once a chunk as large could be kept', async (t) => {
  const directory = join(await temporaryDirectory(t), 'chunks')
  const store = await newStore(t, { directory })
  await rm(directory, { recursive: true })
  await writeFile(directory, 'not a directory')
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  assert.equal(await store.save(digest, 0, Buffer.alloc(1000)), false)
  await rm(directory)
  await mkdir(directory)
  // It is left alone for a while.
  assert.equal(await store.save(digest, 0, Buffer.alloc(1000)), false)
  assert.match(store.lastError ?? '', /cannot be written/)
  t.mock.timers.tick(60_000)
  // On a disk that is full the last chunk of a blob may have room.
  assert.equal(await store.save(digest, 1, Buffer.alloc(999)), true)
  assert.match(store.lastError ?? '', /cannot be written/)
  assert.equal(await store.save(digest, 0, Buffer.alloc(1000)), true)
  assert.equal(store.lastError, undefined)
})

test('files that an earlier process did not finish are deleted', async (t) => {
  const directory = await temporaryDirectory(t)
  const store = await newStore(t, { directory })
  await store.save(digest, 0, Buffer.alloc(1000))
  const unfinished = `${unitPath(directory, 1)}.tmp-123-4`
  await writeFile(unfinished, 'half')
  await newStore(t, { directory })
  await assert.rejects(stat(unfinished))
})

test('a read-only store serves what is there and writes nothing', async (t) => {
  const directory = await temporaryDirectory(t)
  await (await newStore(t, { directory })).save(digest, 0, Buffer.alloc(1000, 1))
  const store = await newStore(t, { directory, readOnly: true })
  assert.equal(await store.save(digest, 1, Buffer.alloc(1000)), false)
  assert.deepEqual(await store.load(digest, 0, 1000), Buffer.alloc(1000, 1))
  assert.deepEqual(await readdir(join(directory, 'sha256', digestHex(digest))), ['0'])
})

test('removing a blob removes all its chunks and no other', async (t) => {
  const store = await newStore(t)
  for (const index of [0, 1]) await store.save(digest, index, Buffer.alloc(10))
  await store.save(other, 0, Buffer.alloc(10))
  await store.removeBlob(digest)
  assert.equal(store.bytesOf(digest), 0)
  assert.equal(await store.load(digest, 0, 10), undefined)
  assert.notEqual(await store.load(other, 0, 10), undefined)
})
