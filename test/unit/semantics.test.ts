import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { packageRoot } from '../../src/util/package-root.js'

const document = readFileSync(join(packageRoot, 'docs/SEMANTICS.md'), 'utf8')
const tests = readdirSync(join(packageRoot, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !name.endsWith('semantics.test.ts'))
  .map((name) => readFileSync(join(packageRoot, 'test', name), 'utf8'))
  .join('\n')

test('every point of SEMANTICS.md has a test', () => {
  const points = document.split(/\n(?=- |## )/).filter((part) => part.startsWith('- '))
  assert.ok(points.length > 20)
  for (const point of points) assert.match(point, /\n {2}Test: `/, point)
})

for (const [, title] of document.matchAll(/^ {2}Test: `(.+)`$/gm)) {
  test(`SEMANTICS.md's test exists: ${title ?? ''}`, () => {
    // Table tests make their title from the row: "an ISO that is" comes from `${what} that is`.
    const words = (title ?? '')
      .replace(/^an ISO (?=that is no tar)/, '${what} ')
      .replace(/^(a layer that) is cut off (?=in the middle fails)/, '$1 ${what} ')
      .replace(/^(a zstd layer) of one frame (?=is read)/, '$1 of ${what} ')
    assert.ok(tests.includes(words), `no test is called ${JSON.stringify(words)}`)
  })
}
