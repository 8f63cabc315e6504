import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileStamp } from '../../src/util/file-stamp.js'
import { isShortage, unreadable } from '../../src/util/unreadable.js'
import { temporaryDirectory } from '../support/temporary-directory.js'
import { withoutDescriptors } from '../support/without-descriptors.js'

async function failureOf(path: string): Promise<unknown> {
  return readFile(path).then(
    () => assert.fail(),
    (error: unknown) => error,
  )
}

test('that no descriptor is left says nothing about the file, and is told with what to do', async () => {
  const error = await withoutDescriptors(async () => failureOf('/etc/passwd'))
  assert.equal(isShortage(error), true)
  const told = unreadable(error, 'the index file /x')
  assert.equal(told.code, 'UNREADABLE')
  assert.equal(
    told.message,
    'the index file /x cannot be read now: as many files are open as may be (ulimit -n) (EMFILE)',
  )
  assert.equal(told.cause, error)
})

test('that a file is not there, is a directory or cannot be read is no shortage', async () => {
  for (const path of ['/nowhere/file', '/etc', '/proc/self/mem'])
    assert.equal(isShortage(await failureOf(path)), false, path)
  assert.equal(isShortage(new Error('x')), false)
})

test('the stamp of a file needs no descriptor, and is empty only where there is none', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'file')
  assert.equal(fileStamp(path), '')
  await writeFile(path, 'x')
  const stamp = fileStamp(path)
  assert.equal(await withoutDescriptors(async () => Promise.resolve(fileStamp(path))), stamp)
  await writeFile(path, 'another')
  assert.notEqual(fileStamp(path), stamp)
  assert.equal(fileStamp(join(path, 'below')), '')
})
