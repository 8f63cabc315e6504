import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Of all indexes in a cache directory. */
export async function indexBytesIn(cache: string): Promise<number> {
  const names = (await readdir(join(cache, 'indexes'), { recursive: true })).filter((name) =>
    name.endsWith('.idx'),
  )
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(cache, 'indexes', name))).size))
  return sizes.reduce((sum, each) => sum + each, 0)
}
