import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPlatform, hostPlatform, parsePlatform, rankPlatform } from '../../../src/registry/platform.js'

test("a platform is os, architecture and variant, in Go's names", () => {
  assert.deepEqual(
    { ...parsePlatform('linux/arm64/v8') },
    { os: 'linux', architecture: 'arm64', variant: 'v8' },
  )
  assert.deepEqual({ ...parsePlatform('Linux/x86_64') }, { os: 'linux', architecture: 'amd64', variant: '' })
  assert.deepEqual({ ...parsePlatform('s390x') }, { os: 'linux', architecture: 's390x', variant: '' })
  assert.equal(formatPlatform(parsePlatform('linux/armhf')), 'linux/arm/v7')
  assert.equal(formatPlatform(parsePlatform('linux/aarch64')), 'linux/arm64')
})

test('what is no platform is refused', () => {
  for (const text of ['', '/', 'linux/', 'a/b/c/d', 'linux/a b', '/amd64']) {
    assert.throws(() => parsePlatform(text), { code: 'INVALID' }, text)
  }
})

test("the machine's own is linux in Go's names", () => {
  assert.equal(formatPlatform(hostPlatform('x64')), 'linux/amd64')
  assert.equal(formatPlatform(hostPlatform('arm64')), 'linux/arm64')
  assert.equal(formatPlatform(hostPlatform('ppc64')), 'linux/ppc64le')
  assert.equal(formatPlatform(hostPlatform('s390x')), 'linux/s390x')
})

/** Best first; what is not in the list does not match. */
const orders: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    'linux/arm/v7',
    ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5', 'linux/arm'],
    ['linux/arm/v8', 'linux/arm64'],
  ],
  ['linux/arm', ['linux/arm', 'linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5'], ['linux/arm/v8']],
  ['linux/arm64', ['linux/arm64', 'linux/arm64/v8'], ['linux/arm/v8', 'linux/arm64/v9', 'windows/arm64']],
  ['linux/arm64/v8', ['linux/arm64/v8', 'linux/arm64'], []],
  ['linux/amd64', ['linux/amd64', 'linux/amd64/v1'], ['linux/amd64/v2', 'linux/386']],
  [
    'linux/amd64/v3',
    ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v4'],
  ],
]

for (const [wanted, matching, others] of orders) {
  test(`${wanted} prefers ${matching.join(', ')}`, () => {
    const rank = (text: string): number =>
      rankPlatform(parsePlatform(wanted), parsePlatform(text)) ?? Infinity
    assert.deepEqual(
      [...matching].reverse().sort((a, b) => rank(a) - rank(b)),
      matching,
    )
    assert.ok(matching.every((text) => rank(text) < Infinity))
    for (const text of others) assert.equal(rank(text), Infinity, text)
  })
}
