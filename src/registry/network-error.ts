import { RegistryFsError, type ErrorCode } from '../util/errors.js'
import { redactText } from './redact.js'

/** Says in plain words why there was no answer from `url`. */
export function networkError(what: string, url: URL, cause: unknown): RegistryFsError {
  const { code, message } = classify(url, systemCode(cause), cause)
  return new RegistryFsError(code, `${what}: ${message}`, { cause })
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
  if (isTls(code)) return { code: 'PROTOCOL', message: `TLS with ${url.host} failed: ${text}` }
  if (code.startsWith('HPE_'))
    return { code: 'PROTOCOL', message: `${url.host} does not speak HTTP here (${code})` }
  return unavailable(`no answer from ${url.host}: ${text}`)
}

function isTls(code: string): boolean {
  return /^(ERR_TLS_|ERR_SSL_|CERT_|EPROTO$|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)
}
