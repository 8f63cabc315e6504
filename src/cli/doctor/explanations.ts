import type { RecordedExchange } from '../../registry/recording-transport.js'
import { headerOf, type HttpResponse } from '../../registry/transport.js'
import type { Findings } from './findings.js'

/** Certificates and signed URLs are about times. */
const toleratedClockMs = 60_000

export function checkClock(response: HttpResponse, findings: Findings): void {
  const theirs = Date.parse(headerOf(response, 'date') ?? '')
  if (!Number.isFinite(theirs)) {
    findings.info('clock', 'the registry does not say what time it is')
    return
  }
  const ahead = Date.now() - theirs
  const text = `${String(Math.round(Math.abs(ahead) / 1000))} s ${ahead < 0 ? 'behind' : 'ahead of'} the registry's`
  if (Math.abs(ahead) <= toleratedClockMs) findings.ok('clock', text)
  else
    findings.warn(
      'clock',
      text,
      'set it (timedatectl set-ntp true): certificates and signed URLs depend on it',
    )
}

export function explainTokens(exchanges: readonly RecordedExchange[], findings: Findings): void {
  const asked = exchanges.filter(({ kind }) => kind === 'token')
  const last = asked.findLast(({ tokenLifetimeMs }) => tokenLifetimeMs !== undefined)
  if (last?.tokenLifetimeMs !== undefined)
    findings.ok(
      'token',
      `${last.url.host} gives tokens for ${String(last.tokenLifetimeMs / 1000)} s; they are renewed in time`,
    )
  else if (asked[0] !== undefined)
    findings.warn(
      'token',
      `${asked[0].url.host} gave none (${String(asked.at(-1)?.status)})`,
      'log in, or check the credentials',
    )
}

export function explainRateLimit(exchanges: readonly RecordedExchange[], findings: Findings): void {
  const last = exchanges.findLast(({ header }) => header('ratelimit-limit') !== undefined)
  if (last === undefined) {
    findings.info('rate limit', 'the registry tells of none')
    return
  }
  const [limit, window] = parseLimit(last.header('ratelimit-limit'))
  const [left] = parseLimit(last.header('ratelimit-remaining'))
  const text = `${left} of ${limit} pulls left${window === undefined ? '' : ` in ${String(window / 3600)} h`}`
  if (Number(left) > 0 || left === '?') findings.ok('rate limit', text)
  else findings.warn('rate limit', text, 'log in, wait, or use a mirror')
}

/** Docker Hub's `100;w=21600`. */
function parseLimit(value: string | undefined): [string, number | undefined] {
  const match = /^(\d{1,12})(?:;w=(\d{1,9}))?/.exec(value ?? '')
  return [match?.[1] ?? '?', match?.[2] === undefined ? undefined : Number(match[2])]
}

/** Says where blobs lie; never the query, which is what a signed URL proves itself with. */
export function explainRedirects(exchanges: readonly RecordedExchange[], findings: Findings): void {
  const hops = exchanges.filter(({ kind, status }) => kind === 'blob' && status >= 300 && status < 400)
  const last = hops.at(-1)
  const location = last?.header('location') ?? ''
  if (last === undefined || !URL.canParse(location, last.url.href)) {
    const isAnswered = exchanges.some(({ kind, status }) => kind === 'blob' && status >= 200 && status < 300)
    if (isAnswered) findings.ok('redirect', 'none: the registry sends blobs itself')
    return
  }
  const target = new URL(location, last.url.href)
  const signed = target.search === '' ? 'without a signature' : `signed${lifeOf(target.searchParams)}`
  findings.ok('redirect', `${String(last.status)} to ${target.host}, ${signed}`)
}

function lifeOf(query: URLSearchParams): string {
  const seconds = Number(query.get('X-Amz-Expires') ?? query.get('X-Goog-Expires') ?? Number.NaN)
  if (Number.isFinite(seconds)) return `, good for ${String(seconds)} s`
  const until = query.get('Expires') ?? query.get('expires')
  const end =
    until !== null && /^\d{9,11}$/.test(until) ? Number(until) * 1000 : Date.parse(query.get('se') ?? '')
  return Number.isFinite(end) ? `, good for ${String(Math.round((end - Date.now()) / 1000))} s` : ''
}
