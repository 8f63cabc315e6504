import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** The table of docs/ARCHITECTURE.md; what is next to come (local, gzip, zstd) has its place already. */
const levels: Readonly<Record<string, number>> = {
  'src/util': 0,
  'src/native.ts': 0,
  'src/config.ts': 6,
  'src/blob': 1,
  'src/registry': 2,
  'src/tar': 2,
  'src/local': 2,
  'src/gzip': 2,
  'src/zstd': 2,
  'src/layer': 3,
  'src/image': 3,
  'src/tree': 4,
  'src/fuse': 5,
  'src/cli': 6,
  'src/mount.ts': 6,
}

const root = projectRoot()
const sources = filesUnder('src', /\.ts$/)

test('imports point down only', () => {
  const upward: string[] = []
  for (const file of sources) {
    const level = levelOf(file)
    assert.notEqual(level, undefined, `${file} is in none of the layers`)
    for (const name of importsOf(file)) {
      if (!name.startsWith('.')) continue
      const target = normalize(join(dirname(file), name)).replace(/\.js$/, '.ts')
      const targetLevel = levelOf(target)
      if (targetLevel === undefined) upward.push(`${file} imports ${target}, which is in none of the layers`)
      else if (targetLevel > Number(level))
        upward.push(`${file} (${String(level)}) imports ${target} (${String(targetLevel)})`)
    }
  }
  assert.deepEqual(upward, [])
})

test('only src/native.ts loads an addon', () => {
  const loaders = sources.filter((file) => /\.node['"`]|\bdlopen\b/.test(textOf(file)))
  assert.deepEqual(
    loaders.filter((file) => file !== 'src/native.ts'),
    [],
  )
})

test('no file is longer than 400 lines', () => {
  const code = /\.(ts|cc|h|c|gyp)$/
  const long = ['src', 'native', 'test']
    .flatMap((folder) => filesUnder(folder, code))
    .map((file) => ({ file, lines: textOf(file).split('\n').length - 1 }))
    .filter(({ lines }) => lines > 400)
  assert.deepEqual(long, [])
})

test('nothing is exported as default', () => {
  const exports = [...sources, ...filesUnder('test', /\.ts$/)].filter((file) =>
    /^export default\b|^export \{[^}]*\bdefault\b/m.test(textOf(file)),
  )
  assert.deepEqual(exports, [])
})

/** Undefined for a file that the table does not have. */
function levelOf(file: string): number | undefined {
  const [top = '', second = ''] = file.split('/')
  return levels[`${top}/${second}`]
}

/** What a file imports, exports from, or imports when it runs. */
function importsOf(file: string): readonly string[] {
  const specifier =
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm
  return [...textOf(file).matchAll(specifier)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

/** In the source tree, without what is built there. */
function filesUnder(folder: string, name: RegExp): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return path === 'native/build' ? [] : filesUnder(path, name)
    return name.test(entry.name) ? [path] : []
  })
}

function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/** The test runs as build/test/unit/layering.test.js, from whatever build directory. */
function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}
