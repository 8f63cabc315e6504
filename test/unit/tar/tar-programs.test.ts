import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  openSync,
  readFileSync,
  writeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TarMember } from '../../../src/tar/member.js'
import { TarScanner } from '../../../src/tar/tar-scanner.js'
import { memberContent } from '../../support/member-content.js'

const longName = 'directory-of-a-long-name/'.repeat(5) + 'f'.repeat(60)
let folder = ''

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'registryfs-tar-'))
  mkdirSync(join(folder, 'short'))
  writeFileSync(join(folder, 'short/file'), 'x'.repeat(1000))
  linkSync(join(folder, 'short/file'), join(folder, 'short/link'))
  symlinkSync('file', join(folder, 'short/symlink'))
  utimesSync(join(folder, 'short/file'), 1.5, 1_600_000_000.25)
  mkdirSync(join(folder, 'long', longName, '..'), { recursive: true })
  writeFileSync(join(folder, 'long', longName), 'long')
  mkdirSync(join(folder, 'sparse'))
  writeFileSync(join(folder, 'sparse/disk'), 'start')
  // Enough regions for extended headers, and a map of several blocks.
  const disk = openSync(join(folder, 'sparse/disk'), 'r+')
  for (let i = 1; i < 90; i++)
    writeSync(disk, Buffer.alloc(4096, i), 0, 4096, i * 100_000 - ((i * 100_000) % 4096))
  closeSync(disk)
  truncateSync(join(folder, 'sparse/disk'), 10_000_000)
  writeFileSync(join(folder, 'sparse/next'), 'next')
})

after(() => {
  rmSync(folder, { recursive: true, force: true })
})

function tar(...options: readonly string[]): Buffer {
  return execFileSync('tar', ['-C', folder, '-cf', '-', ...options], { maxBuffer: 1 << 26 })
}

function membersOf(bytes: Buffer): Map<string, TarMember> {
  const members = new Map<string, TarMember>()
  const scanner = new TarScanner({
    onMember: (member) => members.set(member.name.toString().replace(/\/$/, ''), member),
  })
  scanner.push(bytes, 0)
  scanner.end(bytes.length)
  return members
}

function contentOf(bytes: Buffer, member: TarMember | undefined): string {
  assert.ok(member !== undefined)
  return bytes.toString('latin1', member.dataOffset, member.dataOffset + member.size)
}

for (const format of ['v7', 'ustar', 'gnu', 'pax']) {
  test(`what GNU tar writes as ${format} is read`, () => {
    const bytes = tar(`--format=${format}`, '--sort=name', 'short')
    const members = membersOf(bytes)
    assert.equal(members.get('short')?.type, 'directory')
    assert.equal(contentOf(bytes, members.get('short/file')), 'x'.repeat(1000))
    assert.equal(members.get('short/link')?.type, 'hardlink')
    assert.equal(members.get('short/link')?.linkName.toString(), 'short/file')
    assert.equal(members.get('short/symlink')?.linkName.toString(), 'file')
    assert.equal(members.get('short/file')?.mtimeSeconds, 1_600_000_000)
    assert.equal(members.get('short/file')?.mtimeNanoseconds, format === 'pax' ? 250_000_000 : 0)
  })
}

for (const format of ['gnu', 'pax']) {
  test(`a long name is read as GNU tar writes it in ${format}`, () => {
    const bytes = tar(`--format=${format}`, 'long')
    assert.equal(contentOf(bytes, membersOf(bytes).get(`long/${longName}`)), 'long')
  })
}

for (const [version, options] of [
  ['of old GNU', ['--format=gnu']],
  ['of PAX 0.0', ['--format=pax', '--sparse-version=0.0']],
  ['of PAX 0.1', ['--format=pax', '--sparse-version=0.1']],
  ['of PAX 1.0', ['--format=pax', '--sparse-version=1.0']],
] as const) {
  test(`a sparse file ${version} is read with its holes, and so is what follows it`, async () => {
    const bytes = tar(...options, '--sparse', '--sort=name', 'sparse')
    const members = membersOf(bytes)
    const disk = members.get('sparse/disk')
    assert.equal(disk?.size, 10_000_000)
    assert.ok((disk.sparse?.length ?? 0) > 100)
    assert.deepEqual(await memberContent(bytes, disk), readFileSync(join(folder, 'sparse/disk')))
    assert.equal(contentOf(bytes, members.get('sparse/next')), 'next')
  })
}

const python = `
import io, sys, tarfile
out = io.BytesIO()
with tarfile.open(fileobj=out, mode='w', format=int(sys.argv[1])) as t:
    i = tarfile.TarInfo('n\\u00e9' * 70); i.size = 3; i.uid = 3000000; i.mtime = -7 if sys.argv[1] != '0' else 7
    t.addfile(i, io.BytesIO(b'abc'))
    i = tarfile.TarInfo('s'); i.type = tarfile.SYMTYPE; i.linkname = 't' * 150
    t.addfile(i)
    i = tarfile.TarInfo('dev'); i.type = tarfile.CHRTYPE; i.devmajor = 5; i.devminor = 1
    t.addfile(i)
sys.stdout.buffer.write(out.getvalue())
`

for (const [format, number] of [
  ['GNU', '1'],
  ['PAX', '2'],
] as const) {
  test(`what Python's tarfile writes as ${format} is read`, () => {
    const bytes = execFileSync('python3', ['-c', python, number], { maxBuffer: 1 << 26 })
    const members = membersOf(bytes)
    const long = members.get('né'.repeat(70))
    assert.equal(contentOf(bytes, long), 'abc')
    assert.deepEqual([long?.uid, long?.mtimeSeconds], [3_000_000, -7])
    assert.equal(members.get('s')?.linkName.toString(), 't'.repeat(150))
    assert.deepEqual([members.get('dev')?.deviceMajor, members.get('dev')?.deviceMinor], [5, 1])
  })
}
