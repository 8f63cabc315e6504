import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RegistryFsError, type ErrorCode } from '../../../src/util/errors.js'
import { TarScanner } from '../../../src/tar/tar-scanner.js'
import { extension, file, pax, tarOf, tarWith, type TarPart } from '../../support/tar-of.js'

function scan(tar: Buffer): number {
  let count = 0
  const scanner = new TarScanner({ onMember: () => count++ })
  scanner.push(tar, 0)
  scanner.end(tar.length)
  return count
}

function refuses(tar: Buffer, code: ErrorCode): void {
  assert.throws(
    () => scan(tar),
    (error: unknown) => {
      assert.ok(error instanceof RegistryFsError, String(error))
      assert.equal(error.code, code)
      assert.notEqual(error.offset, undefined)
      return true
    },
  )
}

function sparse01(size: string, map: string): TarPart {
  const numblocks = String(Math.ceil(map.split(',').length / 2))
  return pax({ 'GNU.sparse.size': size, 'GNU.sparse.numblocks': numblocks, 'GNU.sparse.map': map })
}

const sparse10 = pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9000' })

const broken: readonly (readonly [string, readonly TarPart[], ErrorCode])[] = [
  ['a header with a bad checksum', [file('a'), { bytes: Buffer.alloc(512, 0x41) }], 'CORRUPT'],
  ['a negative size', [file('a', '', { patch: (b) => b.fill(0xff, 124, 136) })], 'CORRUPT'],
  ['a size that is no number', [file('a', '', { patch: (b) => b.write('12x4567', 124) })], 'CORRUPT'],
  ['a size beyond what is exact', [file('a', '', { patch: (b) => b.fill(0x9f, 124, 136) })], 'CORRUPT'],
  ['a negative PAX size', [pax({ size: '-1' }), file('a')], 'CORRUPT'],
  ['a PAX size that overflows', [pax({ size: '99999999999999999999' }), file('a')], 'CORRUPT'],
  ['a PAX size with letters', [pax({ size: '0x10' }), file('a')], 'CORRUPT'],
  ['a PAX record that is too long', [extension('x', Buffer.from('99 path=a\n')), file('a')], 'CORRUPT'],
  ['a PAX record of no length', [extension('x', Buffer.from('0 path=a\n')), file('a')], 'CORRUPT'],
  ['a PAX record without a key', [extension('x', Buffer.from('5 =a\n')), file('a')], 'CORRUPT'],
  ['a PAX record without its newline', [extension('x', Buffer.from('9 path=ab')), file('a')], 'CORRUPT'],
  ['a PAX path with a NUL', [pax({ path: Buffer.from('a\0b') }), file('a')], 'CORRUPT'],
  ['a PAX user name with a NUL', [pax({ uname: Buffer.from('a\0b') }), file('a')], 'CORRUPT'],
  ['a sparse map that overlaps', [sparse01('9000', '0,5,4,1'), file('a', 'xxxxxx')], 'CORRUPT'],
  ['a sparse map that goes back', [sparse01('9000', '100,1,4,1'), file('a', 'xx')], 'CORRUPT'],
  ['a sparse map that exceeds its file', [sparse01('9000', '0,1,8999,2'), file('a', 'xxx')], 'CORRUPT'],
  ['a sparse map of more than the tar has', [sparse01('9000', '0,2,8000,2'), file('a', 'xxx')], 'CORRUPT'],
  [
    'a sparse map with a number that overflows',
    [sparse01('9', '0,99999999999999999'), file('a', 'x')],
    'CORRUPT',
  ],
  ['a sparse map of half a region', [sparse01('9000', '0,1,5'), file('a', 'xx')], 'CORRUPT'],
  ['a sparse map with a negative number', [sparse01('9000', '-1,1'), file('a', 'x')], 'CORRUPT'],
  ['a sparse map that does not end', [sparse10, file('a', '9999\n1\n'.padEnd(512, '1'))], 'CORRUPT'],
  ['a sparse map of words', [sparse10, file('a', 'none\n'.padEnd(512, '\0'))], 'CORRUPT'],
  ['an extension without a member', [pax({ path: 'a' })], 'CORRUPT'],
  ['an extension larger than 1 MiB', [extension('x', Buffer.alloc((1 << 20) + 1)), file('a')], 'LIMIT'],
  ['a long name larger than 1 MiB', [extension('L', Buffer.alloc((1 << 20) + 1, 97)), file('a')], 'LIMIT'],
]

for (const [what, parts, code] of broken) {
  test(`${what} is ${code}`, () => {
    refuses(tarOf(...parts), code)
  })
}

test('extensions without end are LIMIT', () => {
  refuses(
    tarOf(...Array.from({ length: 8 }, () => extension('L', Buffer.alloc(1 << 20, 97))), file('a')),
    'LIMIT',
  )
})

test('what is no tar at all is UNSUPPORTED', () => {
  refuses(Buffer.from('just text, and quite a lot of it. '.repeat(100)), 'UNSUPPORTED')
})

test('a tar that stops within content or a header is CORRUPT', () => {
  const tar = tarWith({ endBlocks: 0 }, file('a', 'x'.repeat(700)), file('b'))
  for (const length of [1000, 512 + 699, 1536 + 1, 1536 + 511]) refuses(tar.subarray(0, length), 'CORRUPT')
})

test('padding that is missing at the very end is no error', () => {
  assert.equal(scan(tarWith({ endBlocks: 0 }, file('a', 'x'.repeat(700))).subarray(0, 512 + 700)), 1)
})

test('a scanner refuses bytes from elsewhere', () => {
  assert.throws(() => {
    new TarScanner({ onMember: () => undefined }).push(Buffer.alloc(1), 5)
  }, RegistryFsError)
})

test('whatever is changed in a tar, the scan ends, with an error of ours or without', () => {
  const tar = tarOf(
    pax({ uid: '1' }, { global: true }),
    file('n'.repeat(150), 'x'.repeat(600), { xattrs: { a: 'b' } }),
    file('b', 'y'),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(tar.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      (changes) => {
        const changed = Buffer.from(tar)
        for (const [at, value] of changes) changed[at] = value
        // With a right checksum again, so that changes reach further in.
        for (let at = 0; at < changed.length; at += 512) fixChecksum(changed, tar, at)
        try {
          scan(changed)
        } catch (error) {
          assert.ok(error instanceof RegistryFsError, String(error))
        }
      },
    ),
    { numRuns: 2000 },
  )
})

function fixChecksum(tar: Buffer, original: Buffer, at: number): void {
  if (original.toString('latin1', at + 257, at + 262) !== 'ustar') return
  tar.fill(0x20, at + 148, at + 156)
  let sum = 0
  for (const byte of tar.subarray(at, at + 512)) sum += byte
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
}
