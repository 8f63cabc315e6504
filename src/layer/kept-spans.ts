import type { Lease } from '../blob/buffer-pool.js'
import type { MemoryCache } from '../blob/memory-cache.js'

/** Of inflated spans in the memory cache. */
export function spanKey(digest: string, uncompressedOffset: number): string {
  return `span:${digest}:${String(uncompressedOffset)}`
}

/** Keeps a whole span in memory, also for those who answer reads without asking here. */
export function keepSpan(memory: MemoryCache, digest: string, offset: number, lease: Lease): void {
  memory.put(spanKey(digest, offset), lease, publishing(memory, digest, offset, lease))
}

/** The same of a span that nobody has asked for yet, where there is room. */
export function keepSpanForLater(memory: MemoryCache, digest: string, offset: number, lease: Lease): void {
  memory.putForLater(spanKey(digest, offset), lease, publishing(memory, digest, offset, lease))
}

function publishing(
  memory: MemoryCache,
  digest: string,
  offset: number,
  lease: Lease,
): (() => () => void) | undefined {
  const space = memory.resident?.spaceOf(digest)
  return space === undefined ? undefined : () => space.publish(offset, lease.bytes)
}
