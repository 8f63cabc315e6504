import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LayerTree } from '../../../src/layer/layer-tree.js'
import type { LayerNode } from '../../../src/layer/tree-node.js'
import type { TarMember } from '../../../src/tar/member.js'
import { TarScanner } from '../../../src/tar/tar-scanner.js'
import { dir, file, hardlink, opaque, symlink, tarOf, whiteout, type TarPart } from '../../support/tar-of.js'

function unfinished(...parts: readonly TarPart[]): LayerTree {
  const tree = new LayerTree()
  const tar = tarOf(...parts)
  const scanner = new TarScanner({
    onMember: (member) => {
      tree.add(member)
    },
  })
  scanner.push(tar, 0)
  scanner.end(tar.length)
  return tree
}

function treeOf(...parts: readonly TarPart[]): LayerTree {
  const tree = unfinished(...parts)
  tree.finish()
  return tree
}

function at(tree: LayerTree, path: string): LayerNode | undefined {
  let node: LayerNode | undefined = tree.root
  for (const name of path.split('/')) node = node?.children?.get(name)
  return node
}

function names(node: LayerNode | undefined): readonly string[] {
  return [...(node?.children?.keys() ?? [])].sort()
}

test('names lose ./, / and //, and .. stops at the root', () => {
  const tree = treeOf(file('./a'), file('/b'), file('d//c'), file('../../e'), file('d/../f'))
  assert.deepEqual(names(tree.root), ['a', 'b', 'd', 'e', 'f'])
  assert.deepEqual(names(at(tree, 'd')), ['c'])
})

test('./ gives the root its attributes', () => {
  assert.equal(treeOf(dir('./', { mode: 0o700 })).root.member?.mode, 0o700)
})

test('parents that no member names are made up, and defined when one does', () => {
  const tree = unfinished(file('d/a'))
  const d = at(tree, 'd')
  assert.ok(d !== undefined && d.member === undefined)
  tree.add(memberOf(dir('d', { mode: 0o711 })))
  assert.equal(at(tree, 'd'), d)
  assert.equal(at(tree, 'd')?.member?.mode, 0o711)
})

test('names are kept byte by byte', () => {
  assert.deepEqual(names(treeOf(file(Buffer.from([0xff, 0x80]))).root), ['\xff\x80'])
})

test('names longer than 255 bytes and paths longer than 4095 bytes are skipped with a reason', () => {
  const tree = treeOf(file('n'.repeat(256)), file('a/'.repeat(5000) + 'b'), file('n'.repeat(255)))
  assert.deepEqual(names(tree.root), ['n'.repeat(255)])
  assert.equal(tree.skipped.length, 2)
  assert.equal(tree.memberCount, 3)
})

test('of two members of one name the last counts', () => {
  const tree = treeOf(file('a', 'old'), file('a', 'newer'))
  assert.equal(at(tree, 'a')?.member?.size, 5)
})

test('a directory over a directory keeps what is in it', () => {
  const tree = treeOf(dir('d', { mode: 0o755 }), file('d/a'), dir('d', { mode: 0o700 }))
  assert.equal(at(tree, 'd')?.member?.mode, 0o700)
  assert.deepEqual(names(at(tree, 'd')), ['a'])
})

test('a file over a directory drops what was in it, and a directory over a file hides what is below', () => {
  const tree = treeOf(dir('d'), file('d/a'), file('d'), file('e'), dir('e'))
  assert.equal(at(tree, 'd')?.children, undefined)
  assert.equal(at(tree, 'e')?.opaque, true)
})

test('whiteouts are noted at their directory and not shown', () => {
  const tree = treeOf(whiteout('d/a'), whiteout('b'))
  assert.deepEqual([...(at(tree, 'd')?.whiteouts ?? [])], ['a'])
  assert.deepEqual([...(tree.root.whiteouts ?? [])], ['b'])
  assert.deepEqual(names(tree.root), ['d'])
  assert.deepEqual(names(at(tree, 'd')), [])
})

test('a whiteout beside a directory of that name makes it opaque, in both orders', () => {
  assert.equal(at(treeOf(whiteout('d'), file('d/a')), 'd')?.opaque, true)
  assert.equal(at(treeOf(file('d/a'), whiteout('d')), 'd')?.opaque, true)
})

test('an opaque marker counts for its directory', () => {
  const tree = treeOf(file('d/a'), opaque('d'))
  assert.equal(at(tree, 'd')?.opaque, true)
  assert.equal(tree.root.opaque, false)
  assert.equal(treeOf(opaque('')).root.opaque, true)
})

test('what AUFS left is nobody’s', () => {
  const tree = treeOf(
    file('.wh..wh.aufs'),
    dir('.wh..wh.orph'),
    dir('.wh..wh.plnk'),
    file('.wh..wh.plnk/1.2', 'x'),
  )
  assert.deepEqual(names(tree.root), [])
  assert.equal(tree.root.whiteouts, undefined)
})

test('whiteouts of nothing, of . and of .. are skipped with a reason', () => {
  const tree = treeOf(file('.wh.'), file('.wh..'), file('.wh...'))
  assert.equal(tree.skipped.length, 3)
  assert.equal(tree.root.whiteouts, undefined)
})

test('a hard link is the same node as its target', () => {
  const tree = treeOf(file('a', 'x'), hardlink('d/b', './a'))
  assert.equal(at(tree, 'd/b'), at(tree, 'a'))
  assert.equal(at(tree, 'a')?.linkCount, 2)
})

test('a hard link before its target is seen when the target comes, chains included', () => {
  const waiting = unfinished(hardlink('b', 'a'), hardlink('c', 'b'))
  assert.deepEqual(names(waiting.root), [])
  const tree = unfinished(hardlink('b', 'a'), hardlink('c', 'b'), file('a', 'x'))
  assert.equal(at(tree, 'b'), at(tree, 'a'))
  assert.equal(at(tree, 'c'), at(tree, 'a'))
  assert.equal(at(tree, 'a')?.linkCount, 3)
})

test('a hard link to what the layer lacks becomes unresolved when the layer is over', () => {
  const tree = unfinished(hardlink('b', '/usr/./x'), hardlink('c', 'b'))
  assert.equal(at(tree, 'b'), undefined)
  tree.finish()
  assert.deepEqual(at(tree, 'b')?.unresolvedLink, ['usr', 'x'])
  assert.deepEqual(at(tree, 'c')?.unresolvedLink, ['usr', 'x'])
})

test('links to themselves and in circles end', () => {
  const tree = treeOf(hardlink('a', 'a'), hardlink('b', 'c'), hardlink('c', 'b'))
  assert.deepEqual(at(tree, 'a')?.unresolvedLink, ['a'])
  assert.ok(at(tree, 'b')?.unresolvedLink !== undefined)
  assert.equal(at(treeOf(file('a'), hardlink('a', 'a')), 'a')?.linkCount, 1)
})

test('a link keeps the content of a target that is replaced', () => {
  const tree = treeOf(file('a', 'old'), hardlink('b', 'a'), file('a', 'newer'))
  assert.equal(at(tree, 'b')?.member?.size, 3)
  assert.equal(at(tree, 'b')?.linkCount, 1)
  assert.equal(at(tree, 'a')?.member?.size, 5)
})

test('something else under the name of a waiting link takes its place', () => {
  const tree = treeOf(hardlink('b', 'a'), file('b', 'own'), file('a', 'x'))
  assert.equal(at(tree, 'b')?.member?.size, 3)
  assert.equal(at(tree, 'a')?.linkCount, 1)
})

test('a hard link to a directory is skipped with a reason', () => {
  const tree = treeOf(dir('d'), hardlink('a', 'd'))
  assert.equal(at(tree, 'a'), undefined)
  assert.equal(tree.skipped.length, 1)
})

test('members behind a symbolic link of the same layer go to where it leads', () => {
  const tree = treeOf(symlink('lib', 'usr/lib'), file('lib/x'), symlink('loop', 'loop'), file('loop/y'))
  assert.deepEqual(names(at(tree, 'usr/lib')), ['x'])
  assert.equal(at(tree, 'lib')?.member?.type, 'symlink')
  assert.equal(tree.skipped.length, 1)
})

test('a directory’s children stay the same map while it grows', () => {
  const tree = unfinished(dir('d'))
  const children = at(tree, 'd')?.children
  tree.add(memberOf(file('d/a')))
  assert.equal(at(tree, 'd')?.children, children)
  assert.equal(children?.size, 1)
})

function memberOf(part: TarPart): TarMember {
  const members: TarMember[] = []
  new TarScanner({ onMember: (member) => members.push(member) }).push(part.bytes, 0)
  return members[0] as TarMember
}

test('names in a directory that is replaced are no links any more, and links that wait in it never come', () => {
  const tree = treeOf(
    file('kept', 'x'),
    dir('d'),
    hardlink('d/other', 'kept'),
    hardlink('d/waiting', 'late'),
    file('d', 'a file now'),
    file('late', 'y'),
  )
  assert.equal(at(tree, 'kept')?.linkCount, 1)
  assert.equal(at(tree, 'late')?.linkCount, 1)
})

test('paths two thousand directories deep imply 262,144 directories at most', () => {
  const tree = unfinished()
  for (let i = 0; i < 1000; i++) tree.add(memberOf(file(`${String(i)}/${'d/'.repeat(2000)}f`)))
  assert.ok(tree.skipped.length > 0)
  assert.equal(tree.memberCount, 1000)
})

test('plain files of one name, in turn with those of other directories, are there once, and the last counts', () => {
  const members: TarPart[] = []
  for (let i = 0; i < 20_000; i++)
    members.push(file(`${String(i % 2)}/${String(i % 9000)}`, `${String(i)}\n`))
  const tree = treeOf(...members)
  for (const name of ['0', '1']) {
    const directory = tree.root.children?.get(name)?.children
    assert.equal(directory?.size, 4500)
    for (let i = 18_000 + Number(name); i < 20_000; i += 2)
      assert.equal(directory.get(String(i - 18_000))?.member?.headerOffset, i * 1024)
  }
})

test('thousands of paths and of hard links two thousand directories deep take bounded memory', (t) => {
  const tree = new LayerTree()
  const before = process.memoryUsage().rss
  const path = (i: number): string => `${String(i)}/${'d/'.repeat(1990)}`
  const [linkMember, fileMember] = [memberOf(hardlink('x', 'y')), memberOf(file('x'))]
  for (let i = 0; i < 6000 && tree.skipped.length === 0; i++)
    tree.add({ ...linkMember, name: Buffer.from(`link${String(i)}`), linkName: Buffer.from(`${path(i)}f`) })
  for (let i = 0; i < 2000; i++) tree.add({ ...fileMember, name: Buffer.from(`${path(i)}g`) })
  tree.finish()
  const grown = process.memoryUsage().rss - before
  t.diagnostic(`${String(Math.round(grown / (1 << 20)))} MiB for ${String(tree.memberCount)} members`)
  assert.ok(tree.skipped.some((reason) => reason.includes('after too many of those')))
  assert.ok(tree.skipped.some((reason) => reason.includes('262,144')))
  assert.ok(grown < 450 << 20)
})
