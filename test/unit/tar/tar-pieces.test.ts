import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeScannerState, encodeScannerState } from '../../../src/layer/scanner-state-codec.js'
import type { TarMember } from '../../../src/tar/member.js'
import { TarScanner, type ScannerState } from '../../../src/tar/tar-scanner.js'
import { dir, file, gnuLong, hardlink, pax, raw, symlink, tarOf } from '../../support/tar-of.js'

const sparseHeader = file('sparse', 'x'.repeat(100), {
  typeFlag: 'S',
  format: 'gnu',
  patch: (block) => (block[482] = 1),
}).bytes

const archive = tarOf(
  dir('d', { mtime: 1.5 }),
  file('d/a', 'x'.repeat(700)),
  pax({ uid: '12', comment: 'all' }, { global: true }),
  file('l'.repeat(150), 'abc', { xattrs: { 'user.a': Buffer.from([0, 1]) } }),
  gnuLong('L', 'g'.repeat(140)),
  gnuLong('K', 'k'.repeat(140)),
  hardlink('short', 'short', { claimedSize: 900 }),
  symlink('s', 'd/a'),
  raw(sparseHeader.subarray(0, 512)),
  raw(Buffer.alloc(512)),
  raw(sparseHeader.subarray(512)),
  pax({ path: 'x' }),
  pax({ gid: '3' }, { global: true }),
  file('last', 'end'),
)

function scan(tar: Buffer, sizes: () => number): TarMember[] {
  const members: TarMember[] = []
  const scanner = new TarScanner({ onMember: (member) => members.push(member) })
  for (let at = 0; at < tar.length;) {
    // Overwritten afterwards: bytes are lent for the call only.
    const piece = Buffer.from(tar.subarray(at, at + sizes()))
    scanner.push(piece, at)
    at += piece.length
    piece.fill(0xee)
  }
  scanner.end(tar.length)
  return members
}

const whole = scan(archive, () => archive.length)

test('the archive has what was put in', () => {
  assert.deepEqual(
    whole.map((member) => member.name.toString().slice(0, 6)),
    ['d', 'd/a', 'llllll', 'gggggg', 's', 'sparse', 'x'],
  )
})

for (const size of [1, 2, 511, 512, 513, 1024, 4095]) {
  test(`pieces of ${String(size)} bytes give the same members`, () => {
    assert.deepEqual(
      scan(archive, () => size),
      whole,
    )
  })
}

test('pieces of random sizes give the same members', () => {
  let seed = 1
  const random = (): number => {
    seed = (seed * 48_271) % 0x7fff_ffff
    return 1 + (seed % 1500)
  }
  for (let round = 0; round < 200; round++) assert.deepEqual(scan(archive, random), whole)
})

test('a scan that is stopped anywhere goes on as if it had not been, also over the journal', () => {
  for (let cut = 0; cut <= archive.length; cut++) {
    const before: TarMember[] = []
    const first = new TarScanner({ onMember: (member) => before.push(member) })
    first.push(archive.subarray(0, cut), 0)
    const state: ScannerState = first.state()
    assert.ok(before.every((member) => member.headerOffset < state.headerOffset))
    const resume = decodeScannerState(encodeScannerState(state))
    assert.deepEqual(resume, state)
    const after: TarMember[] = []
    const second = new TarScanner({ onMember: (member) => after.push(member), resume })
    second.push(archive.subarray(cut), cut)
    second.end(archive.length)
    assert.deepEqual([...before, ...after], whole, `cut at ${String(cut)}`)
  }
})

test('nothing is carried while content is skipped', () => {
  const scanner = new TarScanner({ onMember: () => undefined })
  scanner.push(archive.subarray(0, 512 * 3 + 100 + 512), 0)
  for (let at = 0; at < 2; at++) assert.ok(scanner.state().carry.length < 2048)
  const big = new TarScanner({ onMember: () => undefined })
  big.push(file('a', 'x'.repeat(5000)).bytes.subarray(0, 3000), 0)
  assert.equal(big.state().carry.length, 0)
})
