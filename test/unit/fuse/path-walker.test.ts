import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Inode, LookupResult } from '../../../src/fuse/binding.js'
import { PathWalker } from '../../../src/fuse/path-walker.js'
import { hasCode, RegistryFsError } from '../../../src/util/errors.js'

/** Numbers for names, and a count of lookups that are not forgotten yet. */
class Lookups {
  readonly asked: string[] = []
  readonly held = new Map<Inode, number>()
  readonly moved = new Map<string, number>()
  validMs = Infinity

  async lookup(parent: Inode, name: Buffer): Promise<LookupResult> {
    this.asked.push(name.toString('latin1'))
    await Promise.resolve()
    if (name.toString() === 'none') throw new RegistryFsError('NOT_FOUND', 'none')
    const text = name.toString('latin1')
    const inode = (parent * 100 + text.length + (this.moved.get(text) ?? 0)) as Inode
    this.held.set(inode, (this.held.get(inode) ?? 0) + 1)
    return { inode, validMs: this.validMs } as LookupResult
  }

  forget(inode: Inode, count: number): void {
    this.held.set(inode, (this.held.get(inode) ?? 0) - count)
  }
}

test('each step is asked for once while it is valid', async () => {
  const lookups = new Lookups()
  const walker = new PathWalker(lookups, 0)
  assert.equal(await walker.walk('/'), 1)
  const inode = await walker.walk('/a/bb/ccc')
  assert.equal(await walker.walk('/a/bb/ccc'), inode)
  assert.equal(walker.peek('/a/bb/ccc'), inode)
  assert.equal(walker.peek('/a/bb/d'), undefined)
  assert.deepEqual(lookups.asked, ['a', 'bb', 'ccc'])
})

test('a path whose end is gone is walked anew, each name, and holds one lookup of each', async () => {
  const lookups = new Lookups()
  const walker = new PathWalker(lookups, 0)
  const before = await walker.walk('/a/bb')
  lookups.moved.set('bb', 7)
  assert.equal(await walker.walk('/a/bb'), before)
  assert.equal(await walker.walkAnew('/a/bb'), before + 7)
  assert.deepEqual(lookups.asked.slice(0, 4), ['a', 'bb', 'a', 'bb'])
  assert.equal(lookups.held.get(before), 0)
  assert.equal(lookups.held.get((before + 7) as Inode), 1)
  assert.equal(await walker.walk('/a/bb'), before + 7)
})

test('a step holds one lookup, also when two walks made it at once', async () => {
  const lookups = new Lookups()
  const walker = new PathWalker(lookups, 0)
  const [one, other] = await Promise.all([walker.walk('/a'), walker.walk('/a')])
  assert.equal(one, other)
  assert.equal(lookups.held.get(one), 1)
})

test('steps beyond the limit are forgotten', async () => {
  const lookups = new Lookups()
  const walker = new PathWalker(lookups, 0, 2)
  const first = await walker.walk('/a')
  await walker.walk('/bb')
  await walker.walk('/ccc')
  assert.equal(lookups.held.get(first), 0)
  assert.equal(
    [...lookups.held.values()].reduce((sum, count) => sum + count),
    2,
  )
})

test('what is missing is asked for each time', async () => {
  const lookups = new Lookups()
  const walker = new PathWalker(lookups, 0)
  for (let times = 0; times < 2; times++) {
    await assert.rejects(walker.walk('/none'), (error) => hasCode(error, 'NOT_FOUND'))
  }
  assert.equal(lookups.asked.length, 2)
})

test('a name that has moved is answered only when the kernel has forgotten the old one', async () => {
  const lookups = new Lookups()
  lookups.validMs = 0
  const walker = new PathWalker(lookups, 150)
  const before = await walker.walk('/tag/file')
  await new Promise((resolve) => setTimeout(resolve, 5))
  lookups.moved.set('tag', 7)
  lookups.validMs = 1_000
  const begun = Date.now()
  const after = await walker.walk('/tag/file')
  assert.notEqual(after, before)
  assert.ok(Date.now() - begun >= 140)
  assert.equal(lookups.held.get(after), 1)
})

test('escaped names reach the tree as bytes', async () => {
  const lookups = new Lookups()
  await new PathWalker(lookups, 0).walk('/a\\xff')
  assert.deepEqual(lookups.asked, ['a\xff'])
  await assert.rejects(new PathWalker(lookups, 0).walk('/\\xc3\\xa9'), (error) => hasCode(error, 'NOT_FOUND'))
})
