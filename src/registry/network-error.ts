import { RegistryFsError, type ErrorCode } from '../util/errors.js'
import { redactText } from './redact.js'
import { tlsFailure } from './tls/tls-error.js'

/** Says in plain words why there was no answer from `url`; `proxy` is what it was asked through. */
export function networkError(what: string, url: URL, cause: unknown, proxy?: URL): RegistryFsError {
  const system = systemCode(cause)
  // Only the proxy is looked up and connected to; which of the two failed after that is known to the proxy alone.
  const isOfProxy = proxy !== undefined && (unreachable.has(system) || system === 'ENOTFOUND')
  const { code, message } = classify(isOfProxy ? proxy : url, system, cause)
  const way = proxy === undefined ? '' : isOfProxy ? ' (the proxy)' : ` (through the proxy ${proxy.host})`
  return new RegistryFsError(code, `${what}: ${message}${way}`, { cause })
}

/** The code that Node, OpenSSL or undici gave, where it lies in the chain of causes. */
export function systemCode(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; depth++) {
    const code: unknown = (at as { code?: unknown }).code
    if (typeof code === 'string' && code !== 'UND_ERR_SOCKET' && !isOurs(at)) return code
    const inner: unknown = at instanceof AggregateError ? (at.errors as unknown[])[0] : at.cause
    if (!(inner instanceof Error)) return typeof code === 'string' ? code : ''
    at = inner
  }
  return ''
}

/** Whether the same request may work in a moment: not when the name does not exist. */
export function isTransient(error: unknown): boolean {
  return (
    error instanceof RegistryFsError &&
    (error.code === 'UNAVAILABLE' || error.code === 'TIMEOUT') &&
    systemCode(error.cause) !== 'ENOTFOUND'
  )
}

const unreachable: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EAI_AGAIN',
])

/** Whether nothing was reached at all, and that at once. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof RegistryFsError && unreachable.has(systemCode(error.cause))
}

/** Whether somebody took the connection and did not answer in HTTP, as TLS does not. */
export function isConnectionLost(error: unknown): boolean {
  return (
    error instanceof RegistryFsError &&
    /^(ECONNRESET|EPIPE|UND_ERR_SOCKET|HPE_\w+)$/.test(systemCode(error.cause))
  )
}

function isOurs(error: Error): boolean {
  return error instanceof RegistryFsError
}

function classify(url: URL, code: string, cause: unknown): { code: ErrorCode; message: string } {
  const unavailable = (message: string): { code: ErrorCode; message: string } => ({
    code: 'UNAVAILABLE',
    message,
  })
  switch (code) {
    case 'ENOTFOUND':
      return unavailable(`there is no host ${url.hostname} (DNS)`)
    case 'EAI_AGAIN':
      return unavailable(`the name ${url.hostname} cannot be looked up now (DNS)`)
    case 'ECONNREFUSED':
      return unavailable(`${url.host} refuses connections`)
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ENETDOWN':
      return unavailable(`${url.host} cannot be reached (${code})`)
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return unavailable(`${url.host} does not answer connections`)
    case 'ECONNRESET':
    case 'EPIPE':
    case 'UND_ERR_SOCKET':
    case 'HPE_INVALID_EOF_STATE':
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      return unavailable(`the connection to ${url.host} broke off`)
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
      return { code: 'ABORTED', message: 'the registry client is closed' }
  }
  const text = cause instanceof Error ? redactText(cause.message) : 'unknown error'
  const tls = tlsFailure(url.host, code, cause)
  if (tls !== undefined) return { code: 'PROTOCOL', message: tls }
  const refusal = /^Proxy response \((\d+)\)/.exec(text)?.[1]
  if (refusal !== undefined) return proxyRefusal(url, refusal)
  if (code.startsWith('HPE_'))
    return { code: 'PROTOCOL', message: `${url.host} does not speak HTTP here (${code})` }
  return unavailable(`no answer from ${url.host}: ${text}`)
}

/** The answer of a proxy to CONNECT. */
function proxyRefusal(url: URL, status: string): { code: ErrorCode; message: string } {
  if (status === '407')
    return {
      code: 'DENIED',
      message: 'the proxy wants a user and a password: HTTPS_PROXY=http://USER:PASSWORD@…',
    }
  if (status === '403' || status === '405')
    return { code: 'DENIED', message: `the proxy does not let us connect to ${url.host} (${status})` }
  return { code: 'UNAVAILABLE', message: `the proxy cannot connect to ${url.host} (${status})` }
}
