// Usage: make-code-cache.mjs PROGRAM CODE
// Writes the code that this Node's V8 makes of the program, all its functions included, for bin/registryfs.
import { Buffer } from 'node:buffer'
import { readFileSync, writeFileSync } from 'node:fs'
import { argv, exit, stderr } from 'node:process'
import { setFlagsFromString } from 'node:v8'
import launcher from '../bin/registryfs'

const [, , path, codePath] = argv
const program = readFileSync(path)
if (program.some((byte) => byte > 0x7f)) {
  stderr.write(`registryfs: ${path} is not ASCII\n`)
  exit(1)
}
// Functions are compiled when they are first called, else: by every process anew. V8 refuses code of other flags than
// it has itself, so they count as they are when the code is taken.
setFlagsFromString('--no-lazy')
const script = launcher.compile(program)
setFlagsFromString('--lazy')
const code = script.createCachedData()
writeFileSync(codePath, Buffer.concat([Buffer.from(launcher.headOf(program, code)), code]))
