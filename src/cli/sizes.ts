import { InvalidArgumentError } from 'commander'

const factors = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const

/** `1048576`, `512M`, `1.5G` (binary units, `iB` and `B` allowed) to bytes. Throws commander's usage error. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/i.exec(text)
  const bytes = Math.floor(
    Number(match?.[1]) * factors[(match?.[2]?.toUpperCase() ?? '') as keyof typeof factors],
  )
  if (bytes > Number.MAX_SAFE_INTEGER) throw new InvalidArgumentError('that is too large: 8191T at most.')
  if (!Number.isSafeInteger(bytes))
    throw new InvalidArgumentError('give bytes, or a number with K, M, G or T.')
  return bytes
}

/** `30`, `30s`, `500ms`, `5m`, `1h` to ms. Throws commander's usage error. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? 's'] ?? Number.NaN
  const ms = Math.round(Number(match?.[1]) * unit)
  if (!Number.isSafeInteger(ms))
    throw new InvalidArgumentError('give seconds, or a number with ms, s, m or h.')
  return ms
}
