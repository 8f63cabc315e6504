import assert from 'node:assert/strict'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { packageRoot } from '../../../src/util/package-root.js'
import { output, run, type Ran } from '../../support/mounted.js'
import { sampleData } from '../../support/sample-data.js'
import { temporaryDirectory } from '../../support/temporary-directory.js'

const headBytes = 64

/** Says whether the code beside the program is used. In a process of its own: V8 remembers what it has compiled. */
const verdict = `
const [folder] = process.argv.slice(1)
const { compile, loadCode } = require(folder + '/bin/registryfs')
const program = require('node:fs').readFileSync(folder + '/build/registryfs.cjs')
const code = loadCode(program, folder + '/build/registryfs.code')
const isUsed = code !== undefined && compile(program, code).cachedDataRejected === false
process.stdout.write(isUsed ? 'used' : code === undefined ? 'not believed' : 'refused by V8')
`

interface Installed {
  readonly folder: string
  readonly code: string
}

/** What `make install` copies, as far as it is needed to start, with code made by the Node that runs this test. */
async function installed(t: TestContext): Promise<Installed> {
  const folder = await temporaryDirectory(t)
  await mkdir(join(folder, 'build'))
  for (const path of ['package.json', 'bin', 'build/registryfs.cjs'])
    await cp(join(packageRoot, path), join(folder, path), { recursive: true })
  const code = join(folder, 'build/registryfs.code')
  await makeCode(join(folder, 'build/registryfs.cjs'), code)
  return { folder, code }
}

async function makeCode(program: string, code: string): Promise<void> {
  await output(process.execPath, join(packageRoot, 'scripts/make-code-cache.mjs'), program, code)
}

async function verdictOn(folder: string, flags: readonly string[] = []): Promise<string> {
  return output(process.execPath, ...flags, '-e', verdict, folder)
}

/** Of commands that end well, badly and in a usage error. */
async function answers(folder: string, flags: readonly string[] = []): Promise<readonly Ran[]> {
  const program = [...flags, join(folder, 'bin/registryfs')]
  const ask = async (...words: readonly string[]): Promise<Ran> =>
    run(process.execPath, [...program, ...words])
  return Promise.all([ask('--help'), ask('umount', '/nowhere/at/all'), ask('ls')])
}

test('the code that the build keeps is used, and changes no answer', async (t) => {
  const { folder, code } = await installed(t)
  assert.equal(await verdictOn(folder), 'used')
  const usual = await answers(folder)
  await rm(code)
  assert.equal(await verdictOn(folder), 'not believed')
  assert.deepEqual(await answers(folder), usual)
  const [help, umount, ls] = usual
  assert.match(help?.stdout ?? '', /^Usage: registryfs /)
  assert.deepEqual([help?.code, umount?.code, ls?.code], [0, 8, 2])
  assert.match(umount?.stderr ?? '', /^registryfs: mount point \/nowhere\/at\/all does not exist\n$/)
})

test('code that is damaged, of another Node or of another program is not believed', async (t) => {
  const { folder, code } = await installed(t)
  const good = await readFile(code)
  const expected = await answers(folder)
  const flipped = Buffer.from(good)
  flipped.writeUInt8(flipped.readUInt8(flipped.length >> 1) ^ 1, flipped.length >> 1)
  const ofOtherNode = Buffer.from(good)
  ofOtherNode.write(
    process.version.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10)),
    0,
  )
  // As long as this one, which is all that V8 looks at.
  const other = join(folder, 'other.cjs')
  const program = await readFile(join(folder, 'build/registryfs.cjs'), 'latin1')
  await writeFile(other, program.replaceAll('umount', 'tnuomu'))
  await makeCode(other, join(folder, 'other.code'))
  const bad: Readonly<Record<string, Buffer>> = {
    'nothing in it': Buffer.alloc(0),
    garbage: sampleData('random', good.length, 7),
    zeros: Buffer.alloc(good.length),
    'a head alone': good.subarray(0, headBytes),
    'its first half': good.subarray(0, good.length >> 1),
    'one bit wrong': flipped,
    'another Node': ofOtherNode,
    'another program': await readFile(join(folder, 'other.code')),
  }
  for (const [what, bytes] of Object.entries(bad)) {
    await writeFile(code, bytes)
    assert.equal(await verdictOn(folder), 'not believed', what)
    assert.deepEqual(await answers(folder), expected, what)
  }
})

test('a Node with other flags refuses the code, and the program runs', async (t) => {
  const { folder } = await installed(t)
  assert.equal(await verdictOn(folder, ['--no-opt']), 'refused by V8')
  assert.deepEqual(await answers(folder, ['--no-opt']), await answers(folder))
})

test('a program that was not built says so', async (t) => {
  const { folder } = await installed(t)
  await rm(join(folder, 'build/registryfs.cjs'))
  const ran = await run(process.execPath, [join(folder, 'bin/registryfs'), '--version'])
  assert.deepEqual(ran, { code: 8, stdout: '', stderr: 'registryfs is not built: run make build\n' })
})

test('a stack names the same places with and without the code', async (t) => {
  const { folder, code } = await installed(t)
  const elsewhere = join(await temporaryDirectory(t), 'made-here.cjs')
  const program = "'use strict'\n\nfunction fail() {\n  throw new Error('a bug')\n}\n  fail()\n"
  await writeFile(join(folder, 'build/registryfs.cjs'), program)
  const stack = async (): Promise<string> => {
    const { stderr } = await run(process.execPath, [join(folder, 'bin/registryfs')])
    return stderr
  }
  await writeFile(elsewhere, program)
  await makeCode(elsewhere, code)
  assert.equal(await verdictOn(folder), 'used')
  const found = await stack()
  assert.match(found, /at fail \(build\/registryfs\.cjs:4:9\)\n\s+at build\/registryfs\.cjs:6:3/)
  await rm(code)
  assert.equal(await stack(), found)
})
