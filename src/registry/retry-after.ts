const dayMs = 24 * 60 * 60 * 1000

/** Milliseconds from now that a Retry-After header asks for (RFC 9110 10.2.3: seconds or a date), at most a day. */
export function parseRetryAfter(value: string | undefined, nowMs: number = Date.now()): number | undefined {
  if (value === undefined) return undefined
  const text = value.trim()
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), dayMs) : undefined
}
