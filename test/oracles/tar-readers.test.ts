import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TarMember } from '../../src/tar/member.js'
import { RegistryFsError } from '../../src/util/errors.js'
import { memberContent } from '../support/member-content.js'
import { scan } from '../support/scan-tar.js'
import { goTestdata, pythonTar } from '../support/tar-testdata.js'
import { goExpectations } from './go-archive-tar.js'

const flags = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
}

/** `0 name mode uid:gid size time [-> link] [xattrs] [md5]`, as the tables have it. */
async function line(tar: Buffer, member: TarMember): Promise<string> {
  const { uid, gid, mtimeNanoseconds: ns, linkName } = member
  const time = `${String(member.mtimeSeconds)}${ns === 0 ? '' : `.${String(ns).padStart(9, '0')}`}`
  const parts = [
    flags[member.type],
    text(member.name),
    member.mode.toString(8),
    `${String(uid)}:${String(gid)}`,
  ]
  parts.push(String(member.size), time)
  if (linkName.length > 0) parts.push('->', text(linkName))
  for (const [name, value] of [...(member.xattrs ?? [])].sort())
    parts.push(`${name}=${value.toString().replaceAll('\0', '\\0')}`)
  if (member.type === 'file' && member.size < 1 << 20) {
    const content = await memberContent(tar, member)
    assert.equal(content.length, member.size)
    parts.push(`md5=${createHash('md5').update(content).digest('hex').slice(0, 8)}`)
  }
  return parts.join(' ')
}

function text(name: Buffer): string {
  const shown = name.toString()
  if (Buffer.from(shown).equals(name)) return shown
  return name.toString('latin1').replace(/[\x80-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`)
}

test("Go's archive/tar testdata, all of it, reads as Go's own tests expect", async (t) => {
  const files = readdirSync(goTestdata()).filter((name) => name.includes('.tar'))
  const known = goExpectations.map(({ file }) => file)
  // Later versions have some more, which nobody has written the expectations of.
  const expected = goTestdata().includes('go-1.19') ? files : files.filter((name) => known.includes(name))
  assert.deepEqual(expected.sort(), known.sort())
  for (const { file, members, why } of goExpectations) {
    const stored = readFileSync(join(goTestdata(), file))
    const tar = file.endsWith('.bz2')
      ? execFileSync('bzip2', ['-dc'], { input: stored, maxBuffer: 1 << 28 })
      : stored
    let got: readonly string[]
    try {
      got = await Promise.all(scan(tar).map(async (member) => line(tar, member)))
    } catch (error) {
      assert.ok(error instanceof RegistryFsError, String(error))
      got = [`refused: ${error.message}`]
    }
    const expected = members ?? ['refused']
    t.diagnostic(
      `${file} | expected ${short(expected)} | got ${short(got)}${why === undefined ? '' : ` | ${why}`}`,
    )
    // A table's line may say less than is known.
    assert.equal(got.length, expected.length, `${file}: ${got.join('\n')}`)
    for (const [i, each] of expected.entries()) {
      const [said, md5] = each.split(' md5=')
      assert.ok((got[i] as string).startsWith(said as string), `${file}: ${String(got[i])} for ${each}`)
      if (md5 !== undefined)
        assert.ok((got[i] as string).endsWith(`md5=${md5}`), `${file}: ${String(got[i])}`)
    }
  }
})

function short(lines: readonly string[]): string {
  const [first = 'nothing'] = lines
  return `${first.length > 60 ? `${first.slice(0, 60)}…` : first}${lines.length > 1 ? ` and ${String(lines.length - 1)} more` : ''}`
}

/** Of everything in testtar.tar, as Python's own reader tells it. */
const python = `
import hashlib, os, sys, tarfile
flags = {b'\\0': '0', b'7': '0', b'S': '0'}
with tarfile.open(sys.argv[1], encoding='utf-8', errors='surrogateescape') as tar:
    for m in tar:
        flag = flags.get(m.type, m.type.decode())
        size = m.size if m.isreg() else 0
        md5 = hashlib.md5(tar.extractfile(m).read()).hexdigest()[:8] if m.isreg() else ''
        sys.stdout.buffer.write(('%s|%s|%o|%d|%d|%d|%s|%s\\n' % (flag, m.name.rstrip('/'), m.mode & 0o7777, m.uid, m.gid, size, m.linkname, md5)).encode('utf-8', 'surrogateescape'))
`

test("Python's testtar.tar reads as Python reads it", async (t) => {
  const tar = readFileSync(pythonTar())
  const expected = execFileSync('python3', ['-c', python, pythonTar()], { maxBuffer: 1 << 26 })
    .toString('latin1')
    .split('\n')
  const got: string[] = []
  for (const member of scan(tar)) {
    const { type, mode, uid, gid, size } = member
    const md5 =
      type === 'file'
        ? createHash('md5')
            .update(await memberContent(tar, member))
            .digest('hex')
            .slice(0, 8)
        : ''
    const name = member.name.toString('latin1').replace(/\/+$/, '')
    const link = member.linkName.toString('latin1')
    got.push([flags[type], name, mode.toString(8), uid, gid, size, link, md5].join('|'))
  }
  got.push('')
  for (const [i, each] of expected.entries()) t.diagnostic(`expected ${each} | got ${got[i] ?? 'nothing'}`)
  // Of test_tarfile.py: what regular and sparse files hold.
  assert.ok(got.filter((each) => each.endsWith('|65f477c8')).length >= 17)
  assert.equal(got.filter((each) => each.includes('sparse') && each.endsWith('|a54fbc4c')).length, 5)
  assert.deepEqual(got, expected)
})
