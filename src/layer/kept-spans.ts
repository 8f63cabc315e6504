import type { Lease } from '../blob/buffer-pool.js'
import type { MemoryCache } from '../blob/memory-cache.js'

/** Of inflated spans in the memory cache. */
export function spanKey(digest: string, uncompressedOffset: number): string {
  return `span:${digest}:${String(uncompressedOffset)}`
}

/** Keeps a whole span in memory, also for those who answer reads without asking here. */
export function keepSpan(memory: MemoryCache, digest: string, offset: number, lease: Lease): void {
  const space = memory.resident?.spaceOf(digest)
  memory.put(
    spanKey(digest, offset),
    lease,
    space === undefined ? undefined : () => space.publish(offset, lease.bytes),
  )
}
