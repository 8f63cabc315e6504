import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitCodeOf } from '../../../src/cli/exit-code.js'
import { modeText } from '../../../src/cli/ls.js'
import { parsePrintableName, printableName } from '../../../src/cli/output.js'
import { parseDuration, parseSize } from '../../../src/cli/sizes.js'
import { errorCodes, RegistryFsError } from '../../../src/util/errors.js'
import { formatBytes } from '../../../src/util/range.js'

for (const [text, bytes] of [
  ['0', 0],
  ['1048576', 1_048_576],
  ['512M', 512 * 2 ** 20],
  ['1.5G', 1.5 * 2 ** 30],
  ['2TiB', 2 ** 41],
  ['10kB', 10_240],
] as const) {
  test(`the size ${text} is ${String(bytes)} bytes`, () => {
    assert.equal(parseSize(text), bytes)
  })
}

for (const text of ['', '-1', '1X', '1e9', ' 1', '0x10']) {
  test(`${JSON.stringify(text)} is no size`, () => {
    assert.throws(() => parseSize(text), /give bytes/)
  })
}

for (const [text, ms] of [
  ['30', 30_000],
  ['500ms', 500],
  ['1.5m', 90_000],
  ['2h', 7_200_000],
] as const) {
  test(`the time ${text} is ${String(ms)} ms`, () => {
    assert.equal(parseDuration(text), ms)
  })
}

test('a size that no disk has is told to be too large', () => {
  for (const text of ['99999T', '8192T', '9'.repeat(400)])
    assert.throws(() => parseSize(text), /too large: 8191T at most/)
  assert.equal(parseSize('8191T'), 8191 * 2 ** 40)
})

test('a time without a number is refused', () => {
  assert.throws(() => parseDuration('soon'), /give seconds/)
})

for (const [mode, type, text] of [
  [0o755, 'directory', 'drwxr-xr-x'],
  [0o440, 'file', '-r--r-----'],
  [0o4755, 'file', '-rwsr-xr-x'],
  [0o6644, 'file', '-rwSr-Sr--'],
  [0o1777, 'directory', 'drwxrwxrwt'],
  [0o1776, 'directory', 'drwxrwxrwT'],
  [0o777, 'symlink', 'lrwxrwxrwx'],
  [0o600, 'character-device', 'crw-------'],
] as const) {
  test(`mode ${mode.toString(8)} of a ${type} is shown as ls shows it`, () => {
    assert.equal(modeText({ mode, type }), text)
  })
}

test('a name from an image cannot move the cursor', () => {
  assert.equal(printableName(Buffer.from('plain ünïcode')), 'plain ünïcode')
  assert.equal(printableName(Buffer.from('a\x1b[2Jb\n')), 'a\\x1b[2Jb\\x0a')
  assert.equal(printableName(Buffer.from([0x68, 0x80, 0x69])), 'h\\x80i')
  assert.equal(printableName(Buffer.from('back\\slash')), 'back\\x5cslash')
  assert.equal(printableName(Buffer.from('c1\u009b')), 'c1\\xc2\\x9b')
  for (const name of [Buffer.from('a\x1b\\x41'), Buffer.from([0x68, 0x80, 0x5c]), Buffer.from('ünï')])
    assert.deepEqual(parsePrintableName(printableName(name)), name)
})

test('every error code has an exit status of its kind', () => {
  for (const code of errorCodes) {
    const status = exitCodeOf(new RegistryFsError(code, 'x'))
    assert.ok((status >= 1 && status <= 8) || status === 130, `${code}: ${String(status)}`)
  }
  assert.equal(exitCodeOf(new Error('a bug')), 1)
})

test('bytes are told in binary units', () => {
  assert.deepEqual([0, 1023, 1024, 1_500_000, 2 ** 40].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.00 KiB',
    '1.43 MiB',
    '1.00 TiB',
  ])
})
