import { dirname } from 'node:path'
import { replaceFile } from '../native.js'
import { makeDirectories } from '../util/make-directories.js'

let sequence = 0

/** Names that `writeAtomically` uses for files that are not finished; anything so named may be deleted at start. */
export const temporaryPattern = /\.tmp-\d+-\d+$/

/** Of a file that will be called `path`. */
export function temporaryName(path: string): string {
  return `${path}.tmp-${String(process.pid)}-${String(sequence++)}`
}

/**
 * Writes the parts as one file that is either whole or not there: a temporary name, then rename. `durable` asks for
 * fsync in between, for files that are costly to make again.
 */
export async function writeAtomically(
  path: string,
  parts: readonly Buffer[],
  options: { readonly durable?: boolean } = {},
): Promise<void> {
  const temporary = temporaryName(path)
  const durable = options.durable === true
  try {
    await replaceFile(temporary, path, parts, { durable })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    await makeDirectories(dirname(path))
    await replaceFile(temporary, path, parts, { durable })
  }
}
