import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseComponent, parseRootComponent } from '../../../src/tree/component.js'

const hex = 'a'.repeat(64)
const configured = new Set(['registry:5000', 'plain'])

const atTheTop: Readonly<Record<string, string>> = {
  'quay.io': 'host quay.io',
  'quay.io:443': 'host quay.io:443',
  localhost: 'host localhost',
  'localhost:5000': 'host localhost:5000',
  '127.0.0.1': 'host 127.0.0.1',
  '127.0.0.1:5000': 'host 127.0.0.1:5000',
  '[::1]:5000': 'host [::1]:5000',
  'registry:5000': 'host registry:5000',
  plain: 'host plain',
  'debian:12': 'reference debian 12',
  'debian:12.5': 'reference debian 12.5',
  'other:5000': 'reference other 5000',
  [`debian@sha256:${hex}`]: `reference debian sha256:${hex}`,
  [`debian:12@sha256:${hex}`]: `reference debian 12 sha256:${hex}`,
  debian: 'name debian',
  'a__b-c': 'name a__b-c',
  Debian: 'nothing',
  '.git': 'nothing',
  '.hidden:1': 'nothing',
  'debian:': 'nothing',
  'debian:a b': 'nothing',
  'debian@sha256:abc': 'nothing',
  'debian@md5:abc': 'nothing',
  ':1': 'nothing',
  '@': 'nothing',
  '': 'nothing',
  'a\\x5cb': 'nothing',
  ['x'.repeat(300)]: 'nothing',
}

for (const [text, expected] of Object.entries(atTheTop)) {
  test(`at the top ${JSON.stringify(text.slice(0, 40))} is ${expected.slice(0, 40)}`, () => {
    const component = parseRootComponent(text, configured)
    const parts =
      component === undefined ? ['nothing'] : Object.values(component).filter((part) => part !== undefined)
    assert.equal(parts.join(' '), expected)
  })
}

test('below a host nothing is a host', () => {
  assert.equal(parseComponent('quay.io')?.kind, 'name')
  assert.equal(parseComponent('localhost')?.kind, 'name')
  assert.equal(parseComponent('127.0.0.1:5000')?.kind, 'reference')
})
