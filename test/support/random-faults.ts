import type { FakeRegistry } from './fake-registry.js'

/** Numbers in [0, 1) from a seed, the same each time (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One request may find one token expired, or one URL, and no second one: on a slow machine it takes so long. */
const expiryPauseMs = 2_000

/** What of it happened, for the report. */
export type FaultCounts = Record<string, number>

/**
 * Makes a registry misbehave in ever new ways until stopped: each fault lasts a moment, and between two there is a time
 * without, so that whoever keeps to the budgets of retry-budget.ts comes through.
 */
export function startRandomFaults(registry: FakeRegistry, seed: number): { stop(): FaultCounts } {
  const random = seededRandom(seed)
  const base = { ...registry.faults }
  const counts: FaultCounts = {}
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T
  const faults: Readonly<Record<string, () => void>> = {
    reset: () => {
      registry.faults.resetAfter = {
        bytes: Math.floor(random() * 300_000),
        times: 1 + Math.floor(random() * 3),
      }
    },
    short: () => {
      registry.faults.shortBy = {
        bytes: 1 + Math.floor(random() * 100_000),
        times: 1 + Math.floor(random() * 3),
      }
    },
    stall: () => {
      registry.faults.stallAfter = { bytes: Math.floor(random() * 200_000), times: 1 }
    },
    unavailable: () => {
      const kind = pick(['any', 'blob', 'cdn', 'token'] as const)
      registry.faults.failing = {
        kind,
        status: pick([500, 502, 503, 504]),
        times: 1 + Math.floor(random() * 4),
      }
    },
    limited: () => {
      const retryAfter = pick(['1', '0', new Date(Date.now() + 1000).toUTCString(), ''])
      registry.faults.failing = {
        kind: pick(['blob', 'cdn']),
        status: 429,
        times: 1 + Math.floor(random() * 3),
        retryAfter,
      }
    },
    wrongRange: () => {
      registry.faults.ranges = pick(['shifted', 'wrong-total', 'no-content-range', 'multipart'])
      registry.faults.rangesTimes = 1
    },
    starTotal: () => {
      registry.faults.ranges = 'star-total'
    },
    noRanges: () => {
      registry.faults.ranges = 'ignored'
    },
    slow: () => {
      registry.faults.bytesPerSecond = 2 << 20
    },
    latency: () => {
      registry.faults.latencyMs = 50
    },
    expiredUrls: () => {
      registry.faults.expiredUrlStatus = pick([400, 401, 403, 404, 410])
      registry.expireUrls()
    },
    expiredTokens: () => {
      registry.tokens.expireAll()
    },
  }
  let timer: NodeJS.Timeout
  let expiredAt = Number.NEGATIVE_INFINITY
  const next = (): void => {
    const isSoon = performance.now() - expiredAt < expiryPauseMs
    const name = pick(Object.keys(faults).filter((each) => !isSoon || !each.startsWith('expired')))
    if (name.startsWith('expired')) expiredAt = performance.now()
    counts[name] = (counts[name] ?? 0) + 1
    faults[name]?.()
    timer = setTimeout(
      () => {
        registry.faults = { ...base }
        timer = setTimeout(next, 50 + random() * 200)
      },
      50 + random() * 250,
    )
  }
  next()
  return {
    stop: () => {
      clearTimeout(timer)
      registry.faults = { ...base }
      return counts
    },
  }
}
