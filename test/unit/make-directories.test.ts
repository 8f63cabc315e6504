import assert from 'node:assert/strict'
import { stat, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { makeDirectories } from '../../src/util/make-directories.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

test('all that is missing on the way is made, for nobody else to read, also twice at a time', async (t) => {
  const base = await temporaryDirectory(t)
  const path = join(base, 'a/b/c')
  await Promise.all([makeDirectories(path), makeDirectories(relative(process.cwd(), path))])
  await makeDirectories(path)
  for (const name of ['a', 'a/b', 'a/b/c']) assert.equal((await stat(join(base, name))).mode & 0o777, 0o700)
})

test('where nothing can be made the system says why, at once', { timeout: 20_000 }, async (t) => {
  const base = await temporaryDirectory(t)
  await writeFile(join(base, 'file'), '')
  await assert.rejects(makeDirectories('/proc/registryfs/a/b'), { code: 'ENOENT' })
  await assert.rejects(makeDirectories(join(base, 'file')), { code: 'EEXIST' })
  await assert.rejects(makeDirectories(join(base, 'file/below')), { code: 'ENOTDIR' })
})
