import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from '../../src/util/package-root.js'
import { run } from '../support/mounted.js'

test('some seconds of fuzzing find nothing', { timeout: 600_000 }, async () => {
  const { code, stdout, stderr } = await run(
    join(packageRoot, 'scripts/fuzz.sh'),
    ['3', 'tar', 'deflate', 'inflate', 'zstd', 'pass'],
    600_000,
  )
  assert.equal(code, 0, stdout + stderr)
  assert.equal(stdout.match(/number_of_executed_units/g)?.length, 4)
})
