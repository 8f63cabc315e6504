import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { crc32 } from 'node:zlib'
import { readWindow } from '../../../src/layer/read-window.js'
import type { FileRange } from '../../../src/layer/windows.js'
import { hasCode } from '../../../src/util/errors.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'
import { withoutDescriptors } from '../../support/without-descriptors.js'

const window = randomBytes(3000)
const span = {
  compressedBitOffset: 0,
  compressedBitEnd: 8000,
  uncompressedOffset: 77,
  uncompressedLength: 9000,
  crc32: 0,
  windowLength: 32_768,
  atHeader: false,
  zero: false,
}

async function written(t: TestContext): Promise<FileRange> {
  const path = join(await temporaryDirectory(t), 'layer.idx')
  await writeFile(path, Buffer.concat([randomBytes(100), window]))
  return { path, offset: 100, length: window.length, crc32: crc32(window) }
}

test('a window is read from its place in the index file', async (t) => {
  assert.deepEqual(await readWindow(await written(t), span), window)
})

for (const [what, change] of [
  ['damaged', { crc32: 1 }],
  ['cut off', { offset: 101 }],
  ['in a file that is not there', { path: '/nowhere/layer.idx' }],
  // Of a process nothing lies at its first addresses: reading there is EIO.
  ['where the disk fails', { path: '/proc/self/mem', offset: 0 }],
] as const)
  test(`a window that is ${what} is CORRUPT, with the place of its span`, async (t) => {
    await assert.rejects(readWindow({ ...(await written(t)), ...change }, span), (error: unknown) => {
      assert.ok(hasCode(error, 'CORRUPT'))
      assert.equal((error as { offset?: number }).offset, 77)
      return true
    })
  })

test('a window is UNREADABLE where there is no descriptor', async (t) => {
  const place = await written(t)
  await withoutDescriptors(async () => {
    await assert.rejects(readWindow(place, span), { code: 'UNREADABLE', message: /layer\.idx .*EMFILE/ })
  })
  assert.deepEqual(await readWindow(place, span), window)
})
