import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { writeAtomically } from '../../../src/blob/atomic-file.js'
import { crc32 } from '../../../src/native.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

test('a file is its parts, whatever they are, in a directory that is made for it', async (t) => {
  const path = join(await temporaryDirectory(t), 'a/b/file')
  const parts = [Buffer.alloc(0), randomBytes(32), randomBytes(1 << 20), Buffer.alloc(0)]
  await writeAtomically(path, parts, { durable: true })
  assert.deepEqual(await readFile(path), Buffer.concat(parts))
  assert.equal((await stat(path)).mode & 0o777, 0o600)
})

test('more parts than one writev takes are written', async (t) => {
  const path = join(await temporaryDirectory(t), 'file')
  const parts = Array.from({ length: 3000 }, () => randomBytes(7))
  await writeAtomically(path, parts)
  assert.deepEqual(await readFile(path), Buffer.concat(parts))
})

test('a file that cannot take its place leaves nothing behind and says why', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'taken')
  await mkdir(path)
  await assert.rejects(writeAtomically(path, [randomBytes(10)]), { code: 'EISDIR', path })
  assert.deepEqual(await readdir(directory), ['taken'])
})

test("the addon's CRC-32 is zlib's at every length and place", () => {
  const bytes = randomBytes(1 << 17)
  for (let length = 0; length < 300; length++) {
    const piece = bytes.subarray(length % 17, (length % 17) + length)
    assert.equal(crc32(piece), zlib.crc32(piece), `${String(length)} bytes`)
  }
  assert.equal(crc32(bytes), zlib.crc32(bytes))
  assert.equal(crc32(Buffer.alloc(70_000)), zlib.crc32(Buffer.alloc(70_000)))
})
