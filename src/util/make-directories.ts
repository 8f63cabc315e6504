import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * A directory of ours and those above it, one by one: Node's recursive mkdir tries for ever where the system says that
 * there is nothing to make one in, as below /proc. Throws the system's error.
 */
export async function makeDirectories(path: string): Promise<void> {
  const absolute = resolve(path)
  const first = await tryMake(absolute)
  if (first === undefined) return
  if (first.code !== 'ENOENT' || dirname(absolute) === absolute) throw first
  await makeDirectories(dirname(absolute))
  const second = await tryMake(absolute)
  if (second !== undefined) throw second
}

/** Undefined when it is there afterwards. */
async function tryMake(path: string): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(path, { mode: 0o700 })
    return undefined
  } catch (error) {
    const isThere = (await stat(path).catch(() => undefined))?.isDirectory() === true
    return isThere ? undefined : (error as NodeJS.ErrnoException)
  }
}
