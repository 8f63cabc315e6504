import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatShownName, parseShownName } from '../../../src/fuse/shown-name.js'

const shown: readonly [bytes: string, text: string][] = [
  ['plain', 'plain'],
  ['caf\xc3\xa9', 'café'],
  ['not\xff', 'not\\xff'],
  ['\xc3', '\\xc3'],
  ['\xe2\x82', '\\xe2\\x82'],
  ['a\xc0\x80b', 'a\\xc0\\x80b'],
  ['\xed\xa0\x80', '\\xed\\xa0\\x80'],
  ['dev-disk\\x2dlabel', 'dev-disk\\x2dlabel'],
  ['literal\\xff', 'literal\\x5cxff'],
  ['literal\\x5c', 'literal\\x5cx5c'],
  ['\\x', '\\x'],
  ['\\xFF', '\\xFF'],
]

for (const [bytes, text] of shown) {
  test(`${JSON.stringify(bytes)} is shown as ${text}`, () => {
    assert.equal(formatShownName(Buffer.from(bytes, 'latin1')), text)
    assert.deepEqual(parseShownName(text), Buffer.from(bytes, 'latin1'))
  })
}

// Bytes that make escapes likely.
const name = fc
  .array(
    fc.oneof(fc.constantFrom(0x5c, 0x78, 0x35, 0x63, 0x66, 0xc3, 0xa9, 0xff, 0xe2, 0x82, 0xac), fc.nat(255)),
    { maxLength: 24 },
  )
  .map((bytes) => Buffer.from(bytes))

test('every name comes back from how it is shown', () => {
  fc.assert(
    fc.property(name, (bytes) => {
      const text = formatShownName(bytes)
      assert.ok(
        isUtf8(Buffer.from(text)) &&
          !text.includes('\ufffd') === !bytes.toString('latin1').includes('\xef\xbf\xbd'),
      )
      assert.deepEqual(parseShownName(text), bytes)
    }),
    { numRuns: 5_000 },
  )
})

test('no name is shown in two ways', () => {
  fc.assert(
    fc.property(name, (bytes) => {
      const text = bytes.toString('latin1').replaceAll(/[\x80-\xff]/g, '\\xff')
      const parsed = parseShownName(text)
      if (parsed !== undefined) assert.equal(formatShownName(parsed), text)
    }),
    { numRuns: 5_000 },
  )
})
