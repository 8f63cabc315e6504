import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink, link, truncate, utimes, writeFile, chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { extract } from 'tar-stream'
import type { TarMember } from '../../../src/tar/member.js'
import { dir, file, symlink as symlinkMember, tarOf } from '../../support/tar-of.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'
import { scan } from '../../support/scan-tar.js'

const run = promisify(execFile)
const longName = `deep/${'x'.repeat(120)}/${'y'.repeat(180)}`

/** A directory with all kinds of things in it, as GNU tar packs it. */
async function packed(t: TestContext, ...options: string[]): Promise<Buffer> {
  const root = await temporaryDirectory(t)
  const tree = join(root, 'tree')
  await mkdir(join(tree, 'deep', 'x'.repeat(120)), { recursive: true })
  await writeFile(join(tree, 'hello'), 'hello, world\n')
  await writeFile(join(tree, longName), Buffer.alloc(5000, 1))
  await writeFile(join(tree, 'empty'), '')
  await link(join(tree, 'hello'), join(tree, 'zz-link'))
  await symlink('hello', join(tree, 'soft'))
  await writeFile(join(tree, 'holes'), 'x')
  await truncate(join(tree, 'holes'), 10_000_000)
  await chmod(join(tree, 'hello'), 0o4711)
  await utimes(join(tree, 'hello'), 1, 1_600_000_000.25)
  const tar = join(root, 'a.tar')
  await run('tar', ['--sort=name', '--owner=1234', '--group=4321', ...options, '-cf', tar, '-C', tree, '.'])
  return readFile(tar)
}

function byName(members: readonly TarMember[]): Map<string, TarMember> {
  return new Map(members.map((member) => [member.name.toString(), member]))
}

for (const format of ['v7', 'ustar', 'oldgnu', 'gnu', 'pax']) {
  test(`what GNU tar packs in format ${format}`, async (t) => {
    // v7 and ustar have no place for this long a name.
    const short = format === 'v7' || format === 'ustar' ? ['--exclude=./deep/*'] : []
    const tar = await packed(t, `--format=${format}`, ...short)
    const members = scan(tar, 4096)
    const found = byName(members)
    const hello = found.get('./hello')
    assert.equal(hello?.type, 'file')
    assert.equal(hello.mode, 0o4711)
    assert.equal(hello.mtimeSeconds, 1_600_000_000)
    assert.equal(hello.mtimeNanoseconds, format === 'pax' ? 250_000_000 : 0)
    assert.equal(tar.toString('latin1', hello.dataOffset, hello.dataOffset + hello.size), 'hello, world\n')
    assert.equal(found.get('./zz-link')?.type, 'hardlink')
    assert.equal(found.get('./zz-link')?.linkName.toString(), './hello')
    assert.equal(found.get('./soft')?.linkName.toString(), 'hello')
    assert.equal(found.get('./')?.type, 'directory')
    assert.equal(found.get('./holes')?.size, 10_000_000)
    assert.ok(members.every(({ uid, gid }) => uid === 1234 && gid === 4321))
    if (short.length === 0) assert.equal(found.get(`./${longName}`)?.size, 5000)
  })
}

for (const options of [
  ['--format=gnu'],
  ['--format=pax', '--sparse-version=0.0'],
  ['--format=pax', '--sparse-version=0.1'],
  ['--format=pax', '--sparse-version=1.0'],
]) {
  test(`sparse files of GNU tar with ${options.join(' ')}`, async (t) => {
    const found = byName(scan(await packed(t, '-S', ...options)))
    assert.notEqual(found.get('./holes')?.sparse, undefined)
    assert.equal(found.get('./holes')?.size, 10_000_000)
    assert.equal(found.get('./soft')?.type, 'symlink')
    assert.equal(found.get('./zz-link')?.type, 'hardlink')
  })
}

const pythonScript = `
import io, sys, tarfile
formats = {'pax': tarfile.PAX_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'ustar': tarfile.USTAR_FORMAT}
name = sys.argv[1]
out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=formats[name], encoding='utf-8', errors='surrogateescape')
def add(path, kind=tarfile.REGTYPE, content=b'', **fields):
    info = tarfile.TarInfo(path)
    info.type, info.size = kind, len(content)
    for key, value in fields.items(): setattr(info, key, value)
    out.addfile(info, io.BytesIO(content))
add('plain', content=b'abc', mode=0o640, uid=10, gid=20, mtime=1234567890)
add('caf\\u00e9')
add('d', tarfile.DIRTYPE, mode=0o1777)
add('l', tarfile.SYMTYPE, linkname='plain')
add('h', tarfile.LNKTYPE, linkname='plain')
add('null', tarfile.CHRTYPE, devmajor=1, devminor=3)
add('p' * 90 + '/' + 'n' * 60, content=b'x' * 1000)
if name != 'ustar':
    add('n' * 400, uid=4000000000)
    add('byte\\udcff' + 'n' * 120)
    add('old', mtime=-5.0)
if name == 'pax':
    add('attributes', pax_headers={'SCHILY.xattr.user.k': 'value', 'mtime': '12.75'})
add('end')
out.close()
`

for (const format of ['pax', 'gnu', 'ustar']) {
  test(`what Python packs in format ${format}`, async () => {
    const { stdout } = await run('python3', ['-c', pythonScript, format], { encoding: 'buffer' })
    const found = byName(scan(stdout, 1000))
    const show = (name: string, ...fields: (keyof TarMember)[]): unknown[] =>
      fields.map((field) => found.get(name)?.[field])
    assert.deepEqual(
      show('plain', 'size', 'mode', 'uid', 'gid', 'mtimeSeconds'),
      [3, 0o640, 10, 20, 1_234_567_890],
    )
    assert.ok(found.has('café'))
    assert.deepEqual(show('d/', 'type', 'mode'), ['directory', 0o1777])
    assert.deepEqual(show('null', 'type', 'deviceMajor', 'deviceMinor'), ['character-device', 1, 3])
    assert.deepEqual(show('h', 'type', 'linkName'), ['hardlink', Buffer.from('plain')])
    assert.deepEqual(show(`${'p'.repeat(90)}/${'n'.repeat(60)}`, 'size'), [1000])
    if (format !== 'ustar') {
      assert.deepEqual(show('n'.repeat(400), 'uid'), [4_000_000_000])
      assert.deepEqual(show('old', 'mtimeSeconds', 'mtimeNanoseconds'), [-5, 0])
      const bytes = Buffer.concat([Buffer.from('byte'), Buffer.from([0xff]), Buffer.from('n'.repeat(120))])
      assert.ok([...found.values()].some(({ name }) => name.equals(bytes)))
    }
    if (format === 'pax') {
      assert.deepEqual(show('attributes', 'mtimeSeconds', 'mtimeNanoseconds'), [12, 750_000_000])
      assert.equal(found.get('attributes')?.xattrs?.get('user.k')?.toString(), 'value')
    }
    assert.ok(found.has('end'))
  })
}

test('tar-stream sees the same members', async () => {
  const tar = tarOf(
    dir('d', { mode: 0o700 }),
    file('d/a', 'x'.repeat(1000), { uid: 5, gid: 6, mtime: 1e9 }),
    file('n'.repeat(200), 'y'),
    file('m'.repeat(200), 'y', { format: 'gnu' }),
    symlinkMember('l', 'k'.repeat(150)),
    file('big', 'z', { base256: true }),
  )
  const theirs: unknown[] = []
  const extraction = extract()
  extraction.end(tar)
  for await (const entry of extraction) {
    const { name, type, size, mode, uid, gid, linkname } = entry.header
    theirs.push([name, type, size, mode, uid, gid, (linkname as string | null) ?? ''])
    entry.resume()
  }
  const ours = scan(tar).map(({ name, type, size, mode, uid, gid, linkName }) => [
    name.toString(),
    type,
    size,
    mode,
    uid,
    gid,
    linkName.toString(),
  ])
  assert.deepEqual(ours, theirs)
})
