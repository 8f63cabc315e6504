import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { program } from '../../support/registryfs.js'
import { run, type Ran } from '../../support/mounted.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

/** What sh makes of `registryfs WORD...` and the rest of a command line behind it. */
async function shell(rest: string, ...words: readonly string[]): Promise<Ran> {
  const script = `set -o pipefail; "$0" "$@" ${rest}`
  return run('bash', ['-c', script, process.execPath, program, ...words], 60_000)
}

test('doctor and help end in one line where their output cannot be written, and quietly where nobody reads it', async (t) => {
  const cache = join(await temporaryDirectory(t), 'cache')
  for (const words of [
    ['doctor', '--cache-dir', cache],
    ['doctor', '--json', '--cache-dir', cache],
    ['--help'],
    ['ls', '--help'],
    ['help', 'ls'],
    ['--version'],
  ]) {
    const full = await shell('>/dev/full', ...words)
    assert.equal(full.code, 1, words.join(' '))
    assert.match(full.stderr, /^registryfs: standard output: [^\n]*ENOSPC[^\n]*\n$/)
    const closed = await shell('| true', ...words)
    assert.ok(closed.code === 130 || closed.code === 0 || closed.code === 8, String(closed.code))
    assert.equal(closed.stderr, '')
  }
})

test('help of a command that there is not names it', async () => {
  for (const words of [['bogus'], ['help', 'bogus']]) {
    const { code, stdout, stderr } = await shell('', ...words)
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
    assert.match(stderr, /^error: unknown command 'bogus'\n/)
  }
  assert.match((await shell('', 'help', 'ls')).stdout, /^Usage: registryfs ls /)
  assert.match((await shell('', 'help')).stdout, /^Usage: registryfs /)
})
