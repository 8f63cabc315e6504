import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { type MemberFileStore, type MemberFileStoreOptions } from '../../../src/blob/member-file-store.js'
import { sumsPath } from '../../../src/blob/member-file.js'
import { sumBlockBytes, type MemberPlace } from '../../../src/blob/member-sums.js'
import { digestHex, digestOf } from '../../../src/util/digest.js'
import { sampleData } from '../../support/sample-data.js'
import { memberStore } from '../../support/member-store.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'
import { withoutDescriptors } from '../../support/without-descriptors.js'

const layer = digestOf(Buffer.from('a layer'))
/** Not whole blocks. */
const content = sampleData('random', 5 * sumBlockBytes + 777)
const signal = new AbortController().signal
const noPause = async (): Promise<void> => Promise.resolve()

async function newStore(
  t: TestContext,
  options: Partial<MemberFileStoreOptions> = {},
): Promise<MemberFileStore> {
  return memberStore(await temporaryDirectory(t), options)
}

const placeOf = (offset: number, size = content.length): MemberPlace => ({ layer, offset, size })

function pathOf(directory: string, { offset, size }: MemberPlace): string {
  return join(directory, 'sha256', digestHex(layer), `${String(offset)}-${String(size)}`)
}

/** False where there is no room. */
async function keep(store: MemberFileStore, place: MemberPlace, bytes = content): Promise<boolean> {
  const writer = await store.create(place, bytes.length)
  if (writer === undefined) return false
  await writer.write(bytes, [[0, bytes.length]])
  await store.finish(place, writer)
  return true
}

/** All of it, or undefined. */
async function read(store: MemberFileStore, place: MemberPlace): Promise<Buffer | undefined> {
  const file = await store.acquire(place)
  if (file === undefined) return undefined
  const target = Buffer.alloc(place.size)
  const isRead = await file.readInto(0, target)
  file.release()
  return isRead ? target : undefined
}

test('a member that was kept is read in any pieces, by the next process too', async (t) => {
  const directory = await temporaryDirectory(t)
  const place = placeOf(512)
  const first = await newStore(t, { directory })
  assert.equal(await keep(first, place), true)
  for (const store of [first, await newStore(t, { directory })]) {
    const file = await store.acquire(place)
    assert.ok(file !== undefined)
    for (const [offset, length] of [
      [0, 1],
      [sumBlockBytes - 1, 2],
      [3 * sumBlockBytes + 5, sumBlockBytes],
      [content.length - 1, 1],
      [0, content.length],
    ] as const) {
      const target = Buffer.alloc(length)
      assert.equal(await file.readInto(offset, target), true)
      assert.ok(
        target.equals(content.subarray(offset, offset + length)),
        `${String(offset)}+${String(length)}`,
      )
    }
    file.release()
    assert.equal(store.count, 1)
    assert.ok(store.usedBytes >= content.length)
  }
})

test('what is not written is a hole, on disk too, and reads as zeros', async (t) => {
  const directory = await temporaryDirectory(t)
  const place = placeOf(0, 40 << 20)
  const store = await newStore(t, { directory })
  const writer = await store.create(place, content.length)
  assert.ok(writer !== undefined)
  const piece = Buffer.alloc(4 << 20)
  content.copy(piece, 8192)
  writer.skip(4 << 20)
  await writer.write(piece, [[8192, 8192 + content.length]])
  writer.skip(32 << 20)
  await store.finish(place, writer)
  const { blocks, size } = await stat(pathOf(directory, place))
  assert.equal(size, 40 << 20)
  assert.ok(blocks * 512 < 2 << 20, `${String(blocks * 512)} bytes on disk`)
  const expected = Buffer.concat([Buffer.alloc(4 << 20), piece, Buffer.alloc(32 << 20)])
  assert.ok((await read(await newStore(t, { directory }), place))?.equals(expected))
})

test('a file that no descriptor is there for is not used, is kept, and is used later', async (t) => {
  const directory = await temporaryDirectory(t)
  const place = placeOf(0)
  await keep(await newStore(t, { directory }), place)
  const store = await newStore(t, { directory })
  assert.equal(await withoutDescriptors(async () => store.acquire(place)), undefined)
  assert.equal(store.count, 1)
  assert.ok((await read(store, place))?.equals(content))
})

test('the kernel may read a file once all of it was checked in this process, or written by it', async (t) => {
  const directory = await temporaryDirectory(t)
  const place = placeOf(0)
  const writing = await newStore(t, { directory })
  await keep(writing, place)
  const written = await writing.acquire(place)
  assert.equal(written?.isTrusted, true)
  written.release()

  const store = await newStore(t, { directory })
  const file = await store.acquire(place)
  assert.ok(file !== undefined)
  assert.equal(file.isTrusted, false)
  await file.readInto(0, Buffer.alloc(content.length - 1000))
  assert.equal(file.isTrusted, false)
  await file.verify(noPause, signal)
  assert.equal(file.isTrusted, true)
  file.release()
  const again = await store.acquire(place)
  assert.equal(again?.isTrusted, true)
  again.release()
})

for (const [what, damage] of [
  ['a flipped bit', async (path: string) => flip(path, content.length - 2)],
  ['a cut end', async (path: string) => writeFile(path, content.subarray(0, -1))],
  ['a longer end', async (path: string) => writeFile(path, Buffer.concat([content, Buffer.of(1)]))],
  ['zeros for content', async (path: string) => writeFile(path, Buffer.alloc(content.length))],
  ['a flipped bit in its sums', async (path: string) => flip(sumsPath(path), 90)],
  ['no sums', async (path: string) => rm(sumsPath(path))],
  ['empty sums', async (path: string) => writeFile(sumsPath(path), '')],
  ['itself gone', async (path: string) => rm(path)],
] as const) {
  test(`a file with ${what} is not read, and is deleted`, async (t) => {
    const directory = await temporaryDirectory(t)
    const place = placeOf(0)
    await keep(await newStore(t, { directory }), place)
    const store = await newStore(t, { directory })
    await damage(pathOf(directory, place))
    assert.equal(await read(store, place), undefined)
    assert.equal(await store.acquire(place), undefined)
    assert.deepEqual([store.count, store.usedBytes], [0, 0])
    const writer = await store.create(place, content.length)
    await writer?.abandon()
    assert.deepEqual(await readdir(join(directory, 'sha256', digestHex(layer))), [])
    // It can be made again.
    assert.equal(await keep(store, place), true)
    assert.ok((await read(store, place))?.equals(content))
  })
}

test('sums of another member are none of this one', async (t) => {
  const directory = await temporaryDirectory(t)
  const [one, two] = [placeOf(0), placeOf(512)]
  const first = await newStore(t, { directory })
  await keep(first, one)
  await keep(first, two, Buffer.alloc(content.length, 9))
  // Both files are what their sums say: only the names were exchanged.
  for (const path of [pathOf(directory, one), sumsPath(pathOf(directory, one))])
    await writeFile(path, await readFile(path.replace('/0-', '/512-')))
  assert.equal(await read(await newStore(t, { directory }), one), undefined)
})

test('what a killed process left unfinished is deleted at the next start, and never read', async (t) => {
  const directory = await temporaryDirectory(t)
  const [whole, without] = [placeOf(0), placeOf(512)]
  const first = await newStore(t, { directory })
  await keep(first, whole)
  await keep(first, without)
  const unfinished = await first.create(placeOf(1024), content.length)
  await unfinished?.write(content.subarray(0, 2 * sumBlockBytes), [[0, 2 * sumBlockBytes]])
  const folder = join(directory, 'sha256', digestHex(layer))
  await rm(sumsPath(pathOf(directory, without)))
  await writeFile(join(folder, '4096-100.sums'), 'x')
  await writeFile(join(folder, '4096-100.sums.tmp-1-1'), 'x')
  await writeFile(join(folder, 'README'), 'not ours')
  const second = await newStore(t, { directory })
  assert.equal(second.count, 1)
  const name = `0-${String(content.length)}`
  assert.deepEqual((await readdir(folder)).sort(), [name, `${name}.sums`, 'README'].sort())
  await unfinished?.abandon()
})

test('the quota is kept: the least recently used file goes, over a restart too, none that is in use', async (t) => {
  const directory = await temporaryDirectory(t)
  const maximumBytes = 3 * (content.length + 8192)
  const store = await newStore(t, { directory, maximumBytes })
  for (const offset of [0, 512, 1024]) assert.equal(await keep(store, placeOf(offset)), true)
  const held = await store.acquire(placeOf(0))
  assert.equal(await keep(store, placeOf(1536)), true)
  assert.deepEqual(
    [0, 512, 1024, 1536].map((offset) => store.has(placeOf(offset))),
    [true, false, true, true],
  )
  assert.ok(store.usedBytes <= maximumBytes)
  // In use all of them: nothing is thrown away for a fifth.
  const others = [await store.acquire(placeOf(1024)), await store.acquire(placeOf(1536))]
  assert.equal(await keep(store, placeOf(2048)), false)
  assert.equal(store.count, 3)
  for (const file of [held, ...others]) file?.release()

  await utimes(pathOf(directory, placeOf(0)), 3000, 3000)
  await utimes(pathOf(directory, placeOf(1024)), 1000, 1000)
  await utimes(pathOf(directory, placeOf(1536)), 2000, 2000)
  const next = await newStore(t, { directory, maximumBytes: 2 * (content.length + 8192) })
  assert.equal(next.has(placeOf(1024)), false)
  assert.equal(await keep(next, placeOf(4096)), true)
  assert.deepEqual([next.has(placeOf(0)), next.has(placeOf(1536))], [true, false])
})

test('a member that is larger than the quota pushes out nothing', async (t) => {
  const store = await newStore(t, { maximumBytes: content.length + 8192 })
  assert.equal(await keep(store, placeOf(0)), true)
  assert.equal(await store.create(placeOf(512, 1 << 30), 1 << 29), undefined)
  assert.equal(store.count, 1)
})

test('a member is not kept at the cost of the free-space reserve', async (t) => {
  const store = await newStore(t, { freeReserveBytes: Number.MAX_SAFE_INTEGER })
  assert.equal(await keep(store, placeOf(0)), false)
  assert.match(store.lastError ?? '', /reserve/)
})

test('an error of the disk is over once a member could be kept again', async (t) => {
  const directory = join(await temporaryDirectory(t), 'members')
  const store = await newStore(t, { directory })
  await rm(directory, { recursive: true })
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  assert.equal(await keep(store, placeOf(0)), false)
  await mkdir(directory)
  // It is left alone for a while.
  assert.equal(await keep(store, placeOf(0)), false)
  assert.match(store.lastError ?? '', /ENOENT/)
  t.mock.timers.tick(120_000)
  assert.equal(await keep(store, placeOf(0)), true)
  assert.equal(store.lastError, undefined)
})

test("a directory that is another process's is read, and left as it is", async (t) => {
  const directory = await temporaryDirectory(t)
  await keep(await newStore(t, { directory }), placeOf(0))
  const store = await newStore(t, { directory, readOnly: true, maximumBytes: 1 })
  assert.ok((await read(store, placeOf(0)))?.equals(content))
  assert.equal(await keep(store, placeOf(512)), false)
  await rm(pathOf(directory, placeOf(0)))
  assert.equal(await read(store, placeOf(0)), undefined)
})

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at)
  await writeFile(path, bytes)
}
