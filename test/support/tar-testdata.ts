import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Go's archive/tar test data, of whatever version the system has. */
export function goTestdata(): string {
  return found('/usr/share', /^go-1\.\d+$/, 'src/archive/tar/testdata')
}

/** Python's testtar.tar. */
export function pythonTar(): string {
  return found('/usr/lib', /^python3\.\d+$/, 'test/testtar.tar')
}

function found(under: string, version: RegExp, rest: string): string {
  for (const name of readdirSync(under)
    .filter((each) => version.test(each))
    .sort()) {
    const path = join(under, name, rest)
    if (existsSync(path)) return path
  }
  throw new Error(`${rest} of no version is below ${under}`)
}
