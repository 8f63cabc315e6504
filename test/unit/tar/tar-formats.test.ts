import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TarMember } from '../../../src/tar/member.js'
import { TarScanner } from '../../../src/tar/tar-scanner.js'
import { memberContent } from '../../support/member-content.js'
import {
  charDevice,
  extension,
  fifo,
  file,
  gnuLong,
  hardlink,
  pax,
  paxRecord,
  raw,
  symlink,
  tarOf,
  tarWith,
  type TarPart,
} from '../../support/tar-of.js'

function membersOf(tar: Buffer): TarMember[] {
  const members: TarMember[] = []
  const scanner = new TarScanner({ onMember: (member) => members.push(member) })
  scanner.push(tar, 0)
  scanner.end(tar.length)
  return members
}

/** Asserts that one part is one member that has at least these properties. */
const rows: readonly (readonly [
  string,
  readonly TarPart[],
  Partial<Omit<TarMember, 'name'>> & { name?: string },
])[] = [
  [
    'a plain file',
    [file('a', 'hello', { uid: 7, gid: 8, mode: 0o4711, mtime: 99 })],
    {
      name: 'a',
      type: 'file',
      size: 5,
      uid: 7,
      gid: 8,
      mode: 0o4711,
      mtimeSeconds: 99,
      headerOffset: 0,
      dataOffset: 512,
    },
  ],
  ['a v7 file', [file('a', 'x', { format: 'v7' })], { name: 'a', type: 'file', size: 1 }],
  [
    'a v7 directory, known by its slash',
    [file('d/', '', { format: 'v7', typeFlag: '\0' })],
    { type: 'directory' },
  ],
  ['a ustar directory, known by its slash', [file('d/')], { type: 'directory', size: 0 }],
  ['a name with a ustar prefix', [file('b', '', { prefix: 'some/where' })], { name: 'some/where/b' }],
  ['a name of exactly 100 bytes', [file('n'.repeat(100))], { name: 'n'.repeat(100) }],
  [
    'a long GNU name',
    [file('n'.repeat(300), 'x', { format: 'gnu' })],
    { name: 'n'.repeat(300), headerOffset: 0, dataOffset: 1536 },
  ],
  [
    'a long GNU link name',
    [symlink('s', 't'.repeat(300), { format: 'gnu' })],
    { linkName: Buffer.from('t'.repeat(300)) },
  ],
  [
    'the last of two long GNU names',
    [gnuLong('L', 'first'), gnuLong('L', 'second'), file('x')],
    { name: 'second' },
  ],
  ['a long PAX name', [file('p'.repeat(300))], { name: 'p'.repeat(300), headerOffset: 0 }],
  [
    'base-256 numbers',
    [file('a', '', { base256: true, uid: 3_000_000, mtime: -5 })],
    { uid: 3_000_000, mtimeSeconds: -5, size: 0 },
  ],
  [
    'a size beyond 8 GiB of a link that has none',
    [hardlink('a', 'b', { claimedSize: 9 * 2 ** 30 })],
    { type: 'hardlink', size: 0 },
  ],
  [
    'PAX uid, gid and size',
    [pax({ uid: '4000000', gid: '5', size: '3' }), file('a', 'xyz', { claimedSize: 0 })],
    { uid: 4_000_000, gid: 5, size: 3 },
  ],
  [
    'PAX time with a fraction',
    [pax({ mtime: '12.5' }), file('a')],
    { mtimeSeconds: 12, mtimeNanoseconds: 500_000_000 },
  ],
  [
    'PAX time before 1970',
    [pax({ mtime: '-1.25' }), file('a')],
    { mtimeSeconds: -2, mtimeNanoseconds: 750_000_000 },
  ],
  ["Solaris' PAX type", [extension('X', Buffer.from('10 path=z\n')), file('a')], { name: 'z' }],
  [
    'a PAX path that stands in two headers',
    [pax({ path: 'one' }), pax({ path: 'two' }), file('a')],
    { name: 'two' },
  ],
  [
    'a checksum of signed bytes',
    [file(Buffer.from([0xe9, 0x80]), '', { signedChecksum: true })],
    { type: 'file' },
  ],
  [
    'blank numeric fields',
    [file('a', '', { patch: (block) => block.fill(0, 100, 124) })],
    { mode: 0, uid: 0, gid: 0 },
  ],
  ['a device', [charDevice('tty', 4, 1)], { type: 'character-device', deviceMajor: 4, deviceMinor: 1 }],
  ['a FIFO', [fifo('p')], { type: 'fifo', size: 0 }],
]

for (const [what, parts, wanted] of rows) {
  test(`${what} is read as it was written`, () => {
    const members = membersOf(tarOf(...parts))
    assert.equal(members.length, 1)
    const found = members[0] as TarMember
    for (const [key, value] of Object.entries(wanted)) {
      const actual = found[key as keyof TarMember]
      assert.deepEqual(
        Buffer.isBuffer(actual) && typeof value === 'string' ? actual.toString() : actual,
        value,
        key,
      )
    }
  })
}

test('names keep bytes that are no UTF-8', () => {
  const name = Buffer.from([0xff, 0x61, 0x80])
  assert.deepEqual(
    membersOf(tarOf(file(name), file(name, '', { pax: { path: name } }))).map((m) => m.name),
    [name, name],
  )
})

test('extended attributes come in both spellings and with binary values', () => {
  const value = Buffer.from([0, 10, 255])
  const [member] = membersOf(
    tarOf(
      pax({ 'SCHILY.xattr.user.a': value, 'LIBARCHIVE.xattr.user.%62': value.toString('base64') }),
      file('x'),
    ),
  )
  assert.deepEqual([...(member?.xattrs ?? [])].sort(), [
    ['user.a', value],
    ['user.b', value],
  ])
})

test('global PAX records count for all members after them, and a member’s own count more', () => {
  const tar = tarOf(
    file('before'),
    pax({ uid: '5', mtime: '9' }, { global: true }),
    file('a'),
    pax({ uid: '6' }),
    file('b'),
    file('c'),
  )
  assert.deepEqual(
    membersOf(tar).map((m) => m.uid),
    [0, 5, 6, 5],
  )
})

test('a member’s header starts at its extension, but not at a global one', () => {
  const [a, b] = membersOf(
    tarOf(pax({ comment: 'x' }, { global: true }), file('a'), pax({ path: 'b' }), file('x')),
  )
  assert.equal(a?.headerOffset, 1024)
  assert.equal(b?.headerOffset, 1536)
})

test('types that nobody knows are stepped over with their content', () => {
  const odd = ['D', 'V', 'M', 'N', 'Z'].map((typeFlag) => file('odd', 'x'.repeat(700), { typeFlag }))
  assert.deepEqual(
    membersOf(tarOf(...odd, file('a'))).map((m) => m.name.toString()),
    ['a'],
  )
})

test('a hard link that claims a size is not taken to have content', () => {
  const tar = tarOf(file('a', 'x'.repeat(600)), hardlink('b', 'a', { claimedSize: 600 }), file('c'))
  assert.deepEqual(
    membersOf(tar).map((m) => [m.name.toString(), m.size]),
    [
      ['a', 600],
      ['b', 0],
      ['c', 0],
    ],
  )
})

test('content that really is behind a hard link is stepped over', () => {
  const tar = tarOf(hardlink('b', 'a', { content: 'y'.repeat(600), pax: { size: '600' } }), file('c'))
  assert.deepEqual(
    membersOf(tar).map((m) => m.name.toString()),
    ['b', 'c'],
  )
})

test('a GNU sparse file whose map goes on in blocks of its own is read with its holes', async () => {
  const sparse = file('s', 'abcdef', {
    typeFlag: 'S',
    format: 'gnu',
    patch: (block) => {
      for (const [i, at] of [0, 2000, 3000].entries()) putRegion(block, 386 + 24 * i, at, 1)
      block[482] = 1
      block.write('00000020000\0', 483, 'latin1')
    },
  }).bytes
  const more = Buffer.alloc(512)
  putRegion(more, 0, 4000, 2)
  more[504] = 1
  const last = Buffer.alloc(512)
  putRegion(last, 0, 8191, 1)
  const tar = tarOf(raw(sparse.subarray(0, 512)), raw(more), raw(last), raw(sparse.subarray(512)), file('a'))
  const [s, a] = membersOf(tar)
  assert.equal(s?.size, 0o20000)
  const expected = Buffer.alloc(0o20000)
  for (const [text, at] of [
    ['a', 0],
    ['b', 2000],
    ['c', 3000],
    ['de', 4000],
    ['f', 8191],
  ] as const)
    expected.write(text, at)
  assert.deepEqual(await memberContent(tar, s), expected)
  assert.equal(a?.name.toString(), 'a')
})

function putRegion(block: Buffer, at: number, offset: number, length: number): void {
  block.write(
    `${offset.toString(8).padStart(11, '0')}\0${length.toString(8).padStart(11, '0')}\0`,
    at,
    'latin1',
  )
}

const region = (offset: number, length: number): Buffer =>
  Buffer.concat([
    paxRecord('GNU.sparse.offset', String(offset)),
    paxRecord('GNU.sparse.numbytes', String(length)),
  ])
const map10 = '2\n5\n2\n8999\n1\n'.padEnd(512, '\0')

for (const [version, header, content] of [
  [
    '0.0',
    extension(
      'x',
      Buffer.concat([
        paxRecord('GNU.sparse.size', '9000'),
        paxRecord('GNU.sparse.numblocks', '2'),
        region(5, 2),
        region(8999, 1),
        paxRecord('path', 'real'),
      ]),
    ),
    'xyz',
  ],
  [
    '0.1',
    pax({
      'GNU.sparse.size': '9000',
      'GNU.sparse.numblocks': '2',
      'GNU.sparse.map': '5,2,8999,1',
      'GNU.sparse.name': 'real',
    }),
    'xyz',
  ],
  [
    '1.0',
    pax({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'real',
      'GNU.sparse.realsize': '9000',
    }),
    `${map10}xyz`,
  ],
] as const) {
  test(`a PAX sparse file of version ${version} has its name, its size and its holes`, async () => {
    const tar = tarOf(header, file('GNUSparseFile.1/real', content), file('a'))
    const [s, a] = membersOf(tar)
    assert.deepEqual([s?.name.toString(), s?.size], ['real', 9000])
    const expected = Buffer.alloc(9000)
    expected.write('xy', 5)
    expected.write('z', 8999)
    assert.deepEqual(await memberContent(tar, s as TarMember), expected)
    assert.equal(a?.name.toString(), 'a')
  })
}

test('a sparse file of a version that nobody knows is a plain file', () => {
  const [s] = membersOf(tarOf(pax({ 'GNU.sparse.major': '7', 'GNU.sparse.minor': '0' }), file('s', 'xyz')))
  assert.deepEqual([s?.size, s?.sparse], [3, undefined])
})

test('what follows two zero blocks is nobody’s business', () => {
  const tar = Buffer.concat([tarOf(file('a')), Buffer.from('rubbish'.repeat(300))])
  assert.equal(membersOf(tar).length, 1)
})

test('a tar may lack its end, be empty, or be all zeros', () => {
  assert.equal(membersOf(tarWith({ endBlocks: 0 }, file('a', 'x'))).length, 1)
  assert.equal(membersOf(tarWith({ endBlocks: 1 }, file('a', 'x'))).length, 1)
  assert.equal(membersOf(Buffer.alloc(0)).length, 0)
  assert.equal(membersOf(Buffer.alloc(10_240)).length, 0)
})

test('a member of 4 GiB costs no more than its header', () => {
  const scanner = new TarScanner({ onMember: () => undefined })
  scanner.push(file('big', '', { claimedSize: 2 ** 32 }).bytes, 0)
  assert.equal(scanner.state().headerOffset, 512 + 2 ** 32)
})
