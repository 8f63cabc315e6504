import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeMembers, encodeMembers } from '../../../src/layer/member-codec.js'
import { decodeScannerState, encodeScannerState } from '../../../src/layer/scanner-state-codec.js'
import { memberTypes, type TarMember } from '../../../src/tar/member.js'
import { TarScanner } from '../../../src/tar/tar-scanner.js'
import { RegistryFsError } from '../../../src/util/errors.js'
import { file, pax } from '../../support/tar-of.js'

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
const offset = fc.nat({ max: 2 ** 50 })

const member: fc.Arbitrary<TarMember> = fc
  .record({
    name: bytes(300),
    type: fc.constantFrom(...memberTypes),
    linkName: bytes(50),
    mode: fc.nat(0o7777),
    uid: fc.nat({ max: 0xffff_ffff }),
    gid: fc.nat({ max: 0xffff_ffff }),
    size: offset,
    mtimeSeconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    mtimeNanoseconds: fc.nat(999_999_999),
    deviceMajor: fc.nat({ max: 0xffff_ffff }),
    deviceMinor: fc.nat({ max: 0xffff_ffff }),
    headerOffset: offset,
    headerBytes: fc.nat(1 << 22),
    xattrs: fc.option(
      fc
        .dictionary(fc.string({ minLength: 1, maxLength: 20 }), bytes(30), { minKeys: 1, maxKeys: 3 })
        .map((all) => new Map(Object.entries(all))),
      { nil: undefined },
    ),
    unsupported: fc.option(fc.string(), { nil: undefined }),
    regions: fc.option(
      fc.array(fc.tuple(fc.nat(5000), fc.integer({ min: 1, max: 5000 })), { maxLength: 5 }),
      {
        nil: undefined,
      },
    ),
  })
  .map(({ headerBytes, regions, ...rest }) => ({
    ...rest,
    size: rest.type === 'file' ? rest.size + 50_000 : 0,
    sparse: rest.type === 'file' && regions !== undefined ? mapOf(regions) : undefined,
    dataOffset: rest.headerOffset + headerBytes,
  }))

function mapOf(regions: readonly (readonly [number, number])[]): Float64Array {
  let end = 0
  return Float64Array.from(
    regions.flatMap(([gap, length]) => {
      const start = end + gap
      end = start + length
      return [start, length]
    }),
  )
}

function isOurs(error: unknown): true {
  assert.ok(error instanceof RegistryFsError, String(error))
  assert.equal(error.code, 'CORRUPT')
  return true
}

test('any members come back as they were', () => {
  fc.assert(
    fc.property(fc.array(member, { maxLength: 20 }), (members) => {
      assert.deepEqual(decodeMembers(encodeMembers(members)), members)
    }),
  )
})

test('a member with a name of 40 bytes takes at most 70', () => {
  const members = Array.from({ length: 1000 }, (_, i): TarMember => ({
    name: Buffer.from(`usr/share/doc/some-package/${String(i).padStart(13, '0')}`),
    type: 'file',
    linkName: Buffer.alloc(0),
    mode: 0o644,
    uid: 1000,
    gid: 1000,
    size: 123_456,
    mtimeSeconds: 1_700_000_000 + i * 977,
    mtimeNanoseconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    headerOffset: i * 124_416,
    dataOffset: i * 124_416 + 512,
    xattrs: undefined,
    sparse: undefined,
    unsupported: undefined,
  }))
  assert.ok(encodeMembers(members).length / 1000 <= 70)
})

test('bytes that are cut or changed give members or CORRUPT, and nothing else', () => {
  fc.assert(
    fc.property(
      fc.array(member, { minLength: 1, maxLength: 4 }),
      fc.nat(),
      fc.nat(255),
      (members, at, value) => {
        const encoded = Buffer.from(encodeMembers(members))
        assert.throws(() => decodeMembers(encoded.subarray(0, at % encoded.length)), isOurs)
        encoded[at % encoded.length] = value
        try {
          decodeMembers(encoded)
        } catch (error) {
          isOurs(error)
        }
      },
    ),
  )
})

test('bytes made up give CORRUPT and take no memory', () => {
  fc.assert(
    fc.property(bytes(200), (made) => {
      try {
        decodeMembers(made)
      } catch (error) {
        isOurs(error)
      }
    }),
  )
  assert.throws(() => decodeMembers(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])), isOurs)
})

test('a scanner state that is cut short is CORRUPT', () => {
  const scanner = new TarScanner({ onMember: () => undefined })
  const part = pax({ uid: '1' }, { global: true }).bytes
  scanner.push(part, 0)
  scanner.push(file('a').bytes.subarray(0, 100), part.length)
  const encoded = encodeScannerState(scanner.state())
  assert.deepEqual(decodeScannerState(encoded), scanner.state())
  for (const length of [0, 7, 20, 44])
    assert.throws(() => decodeScannerState(encoded.subarray(0, length)), isOurs)
})
