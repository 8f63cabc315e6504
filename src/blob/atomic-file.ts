import { open, rename, unlink, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'

let sequence = 0

/** Names that `writeAtomically` uses for files that are not finished; anything so named may be deleted at start. */
export const temporaryPattern = /\.tmp-\d+-\d+$/

/**
 * Writes the parts as one file that is either whole or not there: a temporary name, then rename. `durable` asks for
 * fsync in between, for files that are costly to make again.
 */
export async function writeAtomically(
  path: string,
  parts: readonly Buffer[],
  options: { readonly durable?: boolean } = {},
): Promise<void> {
  const temporary = `${path}.tmp-${String(process.pid)}-${String(sequence++)}`
  const handle = await open(temporary, 'wx', 0o600).catch(async (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    return open(temporary, 'wx', 0o600)
  })
  try {
    try {
      for (let left = [...parts]; left.length > 0;) {
        const { bytesWritten } = await handle.writev(left)
        left = withoutFirst(left, bytesWritten)
      }
      if (options.durable === true) await handle.datasync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw error
  }
}

function withoutFirst(parts: readonly Buffer[], bytes: number): Buffer[] {
  let skip = bytes
  const left: Buffer[] = []
  for (const part of parts) {
    if (skip >= part.length) skip -= part.length
    else {
      left.push(skip === 0 ? part : part.subarray(skip))
      skip = 0
    }
  }
  return left
}
