import { createHash } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './command.js'
import type { Fixture } from './fixtures.js'
import { RegistryfsMount } from './registryfs.js'
import type { LocalRegistry, Traffic } from './registry.js'

const readBytes = 64 * 1024
const places = 8

export interface RandomRead extends Traffic {
  readonly seconds: number
}

/**
 * 64 KiB reads far from each other, with the index in the cache directory but no chunks: what each makes registryfs
 * fetch. Every one is compared with the source.
 */
export async function measureRandomReads(
  fixture: Fixture,
  registry: LocalRegistry,
  work: string,
  cache: string,
): Promise<readonly RandomRead[]> {
  await rm(join(cache, 'chunks'), { recursive: true, force: true })
  const mount = await RegistryfsMount.start(work, cache, registry.reference(fixture.format))
  const source = await open(fixture.disk)
  try {
    const { size } = await source.stat()
    // Also opens the image, so that manifest and index are in hand.
    await run(['stat', mount.disk], { timeoutMs: 30_000 })
    const reads: RandomRead[] = []
    for (let place = 0; place < places; place++) {
      const slice = size / places
      const offset = Math.floor(place * slice + Math.random() * (slice - readBytes))
      let seconds = 0
      const traffic = await registry.trafficOf(async () => {
        const start = performance.now()
        const text = await run(
          [
            ...['bash', '-c'],
            `dd if="$1" iflag=skip_bytes,fullblock skip=${String(offset)} bs=${String(readBytes)} count=1 status=none | sha256sum`,
            ...['dd', mount.disk],
          ],
          { timeoutMs: 60_000 },
        )
        seconds = (performance.now() - start) / 1000
        const { buffer } = await source.read(Buffer.alloc(readBytes), 0, readBytes, offset)
        const expected = sha256(buffer)
        if (!text.startsWith(expected)) throw new Error(`wrong bytes at ${String(offset)}`)
      })
      reads.push({ ...traffic, seconds })
    }
    return reads
  } finally {
    await source.close()
    await mount.stop()
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
