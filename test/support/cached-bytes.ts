import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Bytes of whole chunks below a cache directory. */
export async function cachedBytes(cache: string): Promise<number> {
  const chunks = join(cache, 'chunks')
  const names = await readdir(chunks, { recursive: true }).catch(() => [])
  const whole = names.filter((name) => /\/\d+$/.test(name))
  const sizes = await Promise.all(
    whole.map(async (name) =>
      stat(join(chunks, name)).then(
        (status) => (status.isFile() ? status.size : 0),
        () => 0,
      ),
    ),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** A disk that is too slow for the download leaves chunks out: no more come then. */
const atRestMs = 10_000

/** Daemons write chunks and indexes in the background: waits until a disk has so many bytes of chunks, or gets no more of them. */
export async function cachedOnDisk(cache: string, bytes: () => number): Promise<void> {
  let last = 0
  let grewAt = performance.now()
  for (;;) {
    const now = await cachedBytes(cache)
    if (now >= bytes() || performance.now() - grewAt > atRestMs) return
    if (now > last) grewAt = performance.now()
    last = now
    await sleep(50)
  }
}

/** Waits until the indexes of so many layers lie there whole. */
export async function indexedOnDisk(cache: string, count: number): Promise<void> {
  const isIndex = (name: string): boolean => name.endsWith('.idx')
  const indexes = async (): Promise<readonly string[]> =>
    (await readdir(join(cache, 'indexes'), { recursive: true }).catch(() => [])).filter(isIndex)
  while ((await indexes()).length < count) await sleep(50)
}
