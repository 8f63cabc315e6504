import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  apiHost,
  formatReference,
  isHost,
  looksLikeHost,
  parseReference,
} from '../../../src/registry/reference.js'
import { digestOf } from '../../../src/util/digest.js'

const digest = digestOf(Buffer.from('x'))

const completed: readonly (readonly [string, string])[] = [
  ['debian', 'docker.io/library/debian:latest'],
  ['debian:12', 'docker.io/library/debian:12'],
  ['kubevirt/fedora', 'docker.io/kubevirt/fedora:latest'],
  ['docker.io/debian', 'docker.io/library/debian:latest'],
  ['index.docker.io/debian', 'docker.io/library/debian:latest'],
  ['quay.io/containerdisks/fedora:40', 'quay.io/containerdisks/fedora:40'],
  ['Quay.IO/a', 'quay.io/a:latest'],
  ['quay.io/a', 'quay.io/a:latest'],
  ['localhost/a', 'localhost/a:latest'],
  ['localhost:5000/a:b', 'localhost:5000/a:b'],
  ['registry:5000/a/b/c', 'registry:5000/a/b/c:latest'],
  ['[::1]:5000/a', '[::1]:5000/a:latest'],
  ['[2001:db8::1]/a:1', '[2001:db8::1]/a:1'],
  ['127.0.0.1:5000/a', '127.0.0.1:5000/a:latest'],
  [`quay.io/a@${digest}`, `quay.io/a@${digest}`],
  [`quay.io/a:1@${digest}`, `quay.io/a:1@${digest}`],
  ['quay.io/a__b/c--d.e_f', 'quay.io/a__b/c--d.e_f:latest'],
]

for (const [text, full] of completed) {
  test(`${text} means ${full}`, () => {
    assert.equal(formatReference(parseReference(text)), full)
  })
}

const invalid = [
  '',
  'Debian',
  'a//b',
  '/a',
  'a/',
  'a:',
  'a:-x',
  `a:${'x'.repeat(129)}`,
  'a@sha256:12',
  'a@',
  `a@${digest}@${digest}`,
  '-a',
  'a_',
  'a___b',
  'a..b',
  'quay.io',
  'quay.io/',
  'quay.io:/a',
  'quay.io:0/a',
  'quay.io:99999/a',
  '.quay.io/a',
  '[::g]/a',
  '[]/a',
  '../a',
  'a/../b',
  'a\0b',
  'a b',
  `quay.io/${'a'.repeat(250)}`,
  'a'.repeat(10_000),
]

for (const text of invalid) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused in one line`, () => {
    if (text === 'quay.io') {
      // A name with a dot and no slash is an image's.
      assert.equal(formatReference(parseReference(text)), 'docker.io/library/quay.io:latest')
      return
    }
    assert.throws(
      () => parseReference(text),
      (error: Error) => {
        assert.equal((error as { code?: unknown }).code, 'INVALID')
        assert.ok(!error.message.includes('\n') && error.message.length < 400, error.message)
        return true
      },
    )
  })
}

test('another default host knows no library/', () => {
  assert.equal(formatReference(parseReference('a', { defaultHost: 'quay.io' })), 'quay.io/a:latest')
  assert.equal(
    formatReference(parseReference('a/b', { defaultHost: 'localhost:5000' })),
    'localhost:5000/a/b:latest',
  )
})

test('only docker.io has its API elsewhere', () => {
  assert.equal(apiHost('docker.io'), 'registry-1.docker.io')
  assert.equal(apiHost('quay.io'), 'quay.io')
})

test('a component is a host when it has a dot before any colon, or is localhost or an address', () => {
  for (const yes of [
    'quay.io',
    'quay.io:443',
    'localhost',
    'localhost:5000',
    '10.0.0.1',
    '[::1]',
    '[::1]:5000',
  ]) {
    assert.ok(looksLikeHost(yes), yes)
  }
  for (const no of [
    'debian',
    'debian:12',
    'debian:12.1',
    'registry:5000',
    '.registryfs',
    '..',
    '.',
    '',
    'a..b',
    '[x]',
  ]) {
    assert.ok(!looksLikeHost(no), no)
  }
})

const part = fc.stringMatching(/^[a-z0-9]{1,6}$/)
const separator = fc.constantFrom('.', '_', '__', '-', '---')
const component = fc
  .tuple(part, fc.array(fc.tuple(separator, part), { maxLength: 2 }))
  .map(([first, rest]) => first + rest.map((pair) => pair.join('')).join(''))
const host = fc.oneof(
  fc.constantFrom(
    'quay.io',
    'localhost',
    'localhost:5000',
    '[::1]:5000',
    '127.0.0.1:80',
    'a-b.c.example:65535',
  ),
  fc.tuple(part, part).map(([a, b]) => `${a}.${b}`),
)
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/)

test('every reference parses back from what it is formatted as', () => {
  const reference = fc
    .record({
      host,
      path: fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
      tag: fc.option(tag, { nil: undefined }),
      digest: fc.option(
        fc.string().map((text) => digestOf(Buffer.from(text))),
        { nil: undefined },
      ),
    })
    .filter((value) => isHost(value.host) && (value.tag !== undefined || value.digest !== undefined))
  fc.assert(
    fc.property(reference, (value) => {
      assert.deepEqual({ ...parseReference(formatReference(value)) }, { ...value })
    }),
  )
})

test('no text makes the parser throw anything but INVALID, or give what cannot be formatted', () => {
  const text = fc.oneof(
    fc.string(),
    fc
      .array(
        fc.constantFrom('a', 'b.c', '/', ':', '@', '.', '_', '-', '[', ']', '::1', 'sha256:', '0', 'A', '..'),
        { maxLength: 12 },
      )
      .map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(text, (value) => {
      try {
        const reference = parseReference(value)
        assert.deepEqual(parseReference(formatReference(reference)), reference)
        assert.ok(!reference.path.split('/').some((name) => name === '' || name.startsWith('.')))
      } catch (error) {
        assert.equal((error as { code?: unknown }).code, 'INVALID')
      }
    }),
    { numRuns: 2000 },
  )
})
