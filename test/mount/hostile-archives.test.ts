import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { writeOciLayout } from '../support/docker-registry.js'
import { diffIdOf, imageOf } from '../support/images.js'
import { output, run } from '../support/mounted.js'
import { mountImages } from '../support/registryfs.js'
import { extension, file, hardlink, pax, symlink, tarOf, type TarPart } from '../support/tar-of.js'
import { temporaryDirectory } from '../support/temporary-directory.js'

const options = { timeout: 240_000 }
const first = file('first', 'the first')
/** Of `first` and its content. */
const firstBytes = 1024

interface Hostile {
  readonly parts: readonly TarPart[]
  /** As strerror(3) has the errno, and what the reason says. */
  readonly errno: string
  readonly reason: RegExp
}

const corrupt = 'Input/output error'
const overLimit = 'File too large'
const map = (text: string): TarPart =>
  pax({ 'GNU.sparse.size': '9000', 'GNU.sparse.numblocks': '2', 'GNU.sparse.map': text })

const archives: Readonly<Record<string, Hostile>> = {
  'negative-size': {
    parts: [file('a', '', { patch: (block) => block.fill(0xff, 124, 136) })],
    errno: corrupt,
    reason: /a size is negative/,
  },
  'huge-size': {
    parts: [pax({ size: '99999999999999999999' }), file('a')],
    errno: corrupt,
    reason: /size/,
  },
  'lying-pax': {
    parts: [extension('x', Buffer.from('99 path=a\n')), file('a')],
    errno: corrupt,
    reason: /PAX/,
  },
  'name-with-nul': {
    parts: [pax({ path: Buffer.from('a\0b') }), file('a')],
    errno: corrupt,
    reason: /NUL/,
  },
  'overlapping-map': {
    parts: [map('0,5,4,1'), file('a', 'xxxxxx')],
    errno: corrupt,
    reason: /sparse/,
  },
  'exceeding-map': {
    parts: [map('0,1,8999,2'), file('a', 'xxx')],
    errno: corrupt,
    reason: /sparse/,
  },
  'headers-without-end': {
    parts: [...Array.from({ length: 6 }, () => extension('L', Buffer.alloc(1 << 20, 97))), file('a')],
    errno: overLimit,
    reason: /headers/,
  },
}

test(
  'what a hostile archive is refused for names image, layer and offset, with the right errno',
  options,
  async (t) => {
    const files = await temporaryDirectory(t)
    const images: string[] = []
    for (const [name, { parts }] of Object.entries(archives)) {
      const tar = tarOf(first, ...parts)
      const type = 'application/vnd.oci.image.layer.v1.tar'
      const layer = { bytes: gzipSync(tar), mediaType: `${type}+gzip`, diffId: diffIdOf(tar) }
      await writeOciLayout(join(files, name), 'v1', imageOf({ layers: [layer] }))
      images.push(`${name}=oci:${join(files, name)}:v1`)
    }
    const mount = await mountImages(t, { cache: join(files, 'cache'), images })
    for (const [name, { parts, errno, reason }] of Object.entries(archives)) {
      const root = join(mount.path, name)
      const listed = await run('ls', [root])
      assert.notEqual(listed.code, 0, name)
      assert.match(listed.stderr, new RegExp(errno), name)
      const error = await output('getfattr', '--only-values', '-n', 'user.registryfs.error', root)
      assert.match(error, reason, name)
      const place = new RegExp(`image \\S*${name}\\S*, layer sha256:[0-9a-f]{64}, offset (\\d+)\\)`)
      const offset = Number(place.exec(error)?.[1])
      assert.ok(offset >= firstBytes && offset < firstBytes + tarOf(...parts).length, error)
    }
  },
)

test('links in circles and paths ten thousand deep cost nothing but themselves', options, async (t) => {
  const files = await temporaryDirectory(t)
  const tar = tarOf(
    file('fine', 'fine'),
    symlink('s', 's'),
    symlink('to', 'fro'),
    symlink('fro', 'to'),
    file('to/behind', 'nowhere'),
    hardlink('h', 'h'),
    hardlink('a', 'b'),
    hardlink('b', 'a'),
    pax({ path: `${'d/'.repeat(10_000)}f` }),
    file('short'),
    file(`deep/${'d/'.repeat(2000)}f`, 'deep'),
  )
  const type = 'application/vnd.oci.image.layer.v1.tar'
  const layer = { bytes: gzipSync(tar), mediaType: `${type}+gzip`, diffId: diffIdOf(tar) }
  await writeOciLayout(join(files, 'oci'), 'v1', imageOf({ layers: [layer] }))
  const images = [`image=oci:${join(files, 'oci')}:v1`]
  const mount = await mountImages(t, { cache: join(files, 'cache'), images })
  const root = join(mount.path, 'image')
  assert.equal(await output('cat', join(root, 'fine')), 'fine')
  assert.match((await run('cat', [join(root, 's')])).stderr, /Too many levels of symbolic links/)
  for (const [name, target] of Object.entries({ h: 'h', a: 'b', b: 'b' })) {
    assert.match((await run('cat', [join(root, name)])).stderr, /Input\/output error/, name)
    const reason = `a hard link to \\\\"${target}\\\\", which no layer below has \\(image \\S+, layer \\S+, offset \\d+\\)`
    assert.match(mount.log(), new RegExp(reason), name)
  }
  assert.equal(await output('ls', root), 'deep\nfine\nfro\ns\nto\n')
  assert.match(
    mount.log(),
    /a member is not shown: \\"h\\" is a hard link to \\"h\\", which no layer below has/,
  )
  assert.match(mount.log(), /a path of more than 4095 bytes/)
  assert.match(mount.log(), /behind too many symbolic links/)
  const deep = await output('sh', '-c', `cd ${root}/deep; for i in $(seq 2000); do cd -P ./d; done; cat f`)
  assert.equal(deep, 'deep')
  const resident = /VmHWM:\s+(\d+) kB/.exec(
    await readFile(`/proc/${String(mount.pid)}/status`, 'latin1'),
  )?.[1]
  assert.ok(Number(resident) < 400 << 10, `${String(resident)} KiB`)
})
