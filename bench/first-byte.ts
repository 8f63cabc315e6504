import { mkdir, rm } from 'node:fs/promises'
import { run } from './command.js'
import type { Fixture } from './fixtures.js'
import { RegistryfsMount } from './registryfs.js'
import type { LocalRegistry, Traffic } from './registry.js'
import { WatchedRegistry } from './watched-registry.js'

/** Slow enough that a first byte that waited for the whole pass would be seen to. */
const blobBytesPerSecond = 16 * 2 ** 20

export interface FirstByte {
  readonly seconds: number
  /** Until the reader had it. */
  readonly traffic: Traffic
}

export interface FirstBytes {
  /** Neither token nor manifest is known. */
  readonly fromNothing: FirstByte
  /** The image's extended attributes have been read before, which tell its digest. */
  readonly withManifest: FirstByte
}

/** Reads the first byte of the first member, on a slow line, with an empty cache. */
export async function measureFirstBytes(
  fixture: Fixture,
  registry: LocalRegistry,
  work: string,
): Promise<FirstBytes> {
  return {
    fromNothing: await measure(fixture, registry, work, false),
    withManifest: await measure(fixture, registry, work, true),
  }
}

async function measure(
  fixture: Fixture,
  registry: LocalRegistry,
  work: string,
  hasManifest: boolean,
): Promise<FirstByte> {
  const cache = `${work}/cache-first-byte`
  await rm(cache, { recursive: true, force: true })
  await mkdir(cache, { recursive: true })
  const watched = await WatchedRegistry.start(registry.host, blobBytesPerSecond)
  let mount: RegistryfsMount | undefined
  try {
    mount = await RegistryfsMount.start(work, cache, `${watched.host}/bench/${fixture.format}:latest`)
    // Looking at the directory alone asks for nothing yet.
    if (hasManifest) await run(['getfattr', '-d', '-m', '-', `${mount.path}/image`], { timeoutMs: 30_000 })
    await watched.quiet()
    const before = watched.traffic()
    const start = performance.now()
    await run(['head', '-c', '1', mount.disk], { timeoutMs: 60_000 })
    const seconds = (performance.now() - start) / 1000
    const after = watched.traffic()
    return {
      seconds,
      traffic: {
        requests: after.requests - before.requests,
        blobBytes: after.blobBytes - before.blobBytes,
      },
    }
  } finally {
    await mount?.stop()
    await watched.stop()
    await rm(cache, { recursive: true, force: true })
  }
}
