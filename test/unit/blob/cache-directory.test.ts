import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CacheDirectory } from '../../../src/blob/cache-directory.js'
import { silentLogger } from '../../../src/util/log.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

test('what a killed process was writing is gone when the next one opens the directory', async (t) => {
  const path = join(await temporaryDirectory(t), 'cache')
  for (const folder of ['documents/sha256', 'indexes/sha256', 'tags']) {
    await mkdir(join(path, folder), { recursive: true, mode: 0o700 })
    for (const name of ['whole', 'whole.idx', 'half.idx.tmp-12-0', 'half.tmp-7-31'])
      await writeFile(join(path, folder, name), name)
  }
  const first = await CacheDirectory.open(path, silentLogger)
  assert.equal(first.readOnlyReason, undefined)
  for (const folder of ['documents/sha256', 'indexes/sha256', 'tags'])
    assert.deepEqual(await readdir(join(path, folder)), ['whole', 'whole.idx'])
  // Whoever only reads leaves alone what the writer is at.
  await writeFile(join(path, 'tags', 'half.tmp-7-32'), '')
  const second = await CacheDirectory.open(path, silentLogger)
  assert.match(second.readOnlyReason ?? '', /in use by another/)
  assert.ok((await readdir(join(path, 'tags'))).includes('half.tmp-7-32'))
})
