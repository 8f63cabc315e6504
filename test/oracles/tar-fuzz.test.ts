import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { LayerTree } from '../../src/layer/layer-tree.js'
import { TarScanner } from '../../src/tar/tar-scanner.js'
import { RegistryFsError } from '../../src/util/errors.js'
import { dir, file, hardlink, opaque, pax, symlink, tarOf, whiteout } from '../support/tar-of.js'
import { goTestdata, pythonTar } from '../support/tar-testdata.js'

/** `make fuzz` gives it longer. */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 5)
const blockBytes = 512
const maximumArchiveBytes = 128 << 10
/** One input may take so long, on a machine that does other things as well. */
const maximumMs = 5_000
const maximumGrowthBytes = 400 << 20

const written = tarOf(
  pax({ comment: 'x', uid: '7' }, { global: true }),
  dir('d/', { mtime: 1.5 }),
  file('d/x', 'x'.repeat(700), { xattrs: { 'user.a': Buffer.from([0, 255]) } }),
  hardlink('d/y', 'd/x'),
  hardlink('forward', 'later'),
  symlink('s', 'd'),
  file('s/through', 'through'),
  whiteout('gone'),
  opaque('d'),
  file('later', '', { format: 'gnu', base256: true }),
  file('n'.repeat(300), 'long', { format: 'gnu' }),
)

function archives(): readonly Buffer[] {
  const files = readdirSync(goTestdata()).filter((name) => name.endsWith('.tar'))
  const bytes = [...files.map((name) => join(goTestdata(), name)), pythonTar()].map((path) =>
    readFileSync(path),
  )
  return [
    written,
    ...bytes.map((each) => each.subarray(0, maximumArchiveBytes)).filter((each) => each.length > 0),
  ]
}

/** What a change does: kind, where, and a value. */
type Change = readonly [number, number, number]

const numbers = [
  '00000000000\0',
  '77777777777\0',
  '-0000000001\0',
  '\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff',
  '\xff'.repeat(12),
]
const types = '01234567xgLKSVMD\0A'
const records = [
  '9 size=-1\n',
  '30 GNU.sparse.map=0,5,4,99999\n',
  '20 path=a/../../../b\n',
  '6 a=\n',
  '0 \n',
  '99999999 x=y\n',
]

function mutated(all: readonly Buffer[], first: number, changes: readonly Change[]): Buffer {
  const pick = (choice: number): Buffer => all[choice % all.length] as Buffer
  let tar = Buffer.from(pick(first))
  for (const [kind, where, value] of changes) {
    const block = (where % Math.ceil(tar.length / blockBytes)) * blockBytes
    if (block + blockBytes > tar.length) continue
    if (kind === 0) tar[where % tar.length] = value & 0xff
    else if (kind === 1) tar.write(numbers[value % numbers.length] as string, block + 124, 'latin1')
    else if (kind === 2) tar.write(types[value % types.length] as string, block + 156, 'latin1')
    else if (kind === 3) tar.write(records[value % records.length] as string, block, 'latin1')
    else if (kind === 4) tar = Buffer.concat([tar.subarray(0, block), tar.subarray(block + blockBytes)])
    else if (kind === 5) tar = Buffer.concat([tar.subarray(0, block), pick(value), tar.subarray(block)])
    else if (kind === 6) tar = Buffer.from(tar.subarray(0, Math.max(1, tar.length - (value % 2000))))
    else tar.write('../'.repeat(value % 30), block, 'latin1')
    if (tar.length === 0) tar = Buffer.alloc(blockBytes)
  }
  // With right checksums again, so that changes reach further in.
  for (let at = 0; at + blockBytes <= tar.length; at += blockBytes)
    fixChecksum(tar.subarray(at, at + blockBytes))
  return tar
}

function fixChecksum(block: Buffer): void {
  if (block.toString('latin1', 257, 262) !== 'ustar') return
  block.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}

function read(tar: Buffer, pieceBytes: number): number {
  const tree = new LayerTree()
  const scanner = new TarScanner({
    onMember: (member) => {
      tree.add(member)
    },
  })
  for (let at = 0; at < tar.length; at += pieceBytes) scanner.push(tar.subarray(at, at + pieceBytes), at)
  scanner.end(tar.length)
  tree.finish()
  return tree.memberCount
}

test(
  'whatever is made of real archives, reading ends soon, in bounded memory, with an error of ours or without',
  { timeout: (seconds + 60) * 1000 },
  (t) => {
    const all = archives()
    const before = process.memoryUsage().rss
    let runs = 0
    let whole = 0
    const result = fc.check(
      fc.property(
        fc.nat(all.length - 1),
        fc.array(fc.tuple(fc.nat(7), fc.nat(1 << 20), fc.nat(1 << 16)), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 5000 }),
        (first, changes, pieceBytes) => {
          const tar = mutated(all, first, changes)
          const started = performance.now()
          runs++
          try {
            read(tar, pieceBytes < 20 ? blockBytes : pieceBytes)
            whole++
          } catch (error) {
            assert.ok(error instanceof RegistryFsError, (error as Error).stack)
          }
          assert.ok(performance.now() - started < maximumMs, 'it took too long')
        },
      ),
      {
        numRuns: Number.MAX_SAFE_INTEGER,
        interruptAfterTimeLimit: seconds * 1000,
        ...(process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }),
      },
    )
    t.diagnostic(
      `SEED=${String(result.seed)}: ${String(runs)} archives in ${String(seconds)} s, ${String(whole)} of them read to their end`,
    )
    assert.equal(
      result.counterexample,
      null,
      `SEED=${String(result.seed)} ${String(result.errorInstance)} ${fc.defaultReportMessage(result) ?? ''}`,
    )
    assert.ok(runs > 50 && whole > 0 && whole < runs)
    assert.ok(process.memoryUsage().rss - before < maximumGrowthBytes, 'it took too much memory')
  },
)
