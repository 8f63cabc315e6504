import { RegistryFsError, type ErrorCode } from '../util/errors.js'
import { isObject } from './json-object.js'
import { readBodyStart } from './read-body.js'
import { redactText } from './redact.js'
import { parseRetryAfter } from './retry-after.js'
import { headerOf, type HttpRequest, type HttpResponse } from './transport.js'

const errorBodyBytes = 64 * 1024

/** Returns the response when its status is one of `accepted`; throws what it means otherwise. */
export async function checkStatus(
  response: HttpResponse,
  request: Pick<HttpRequest, 'what'>,
  accepted: readonly number[],
): Promise<HttpResponse> {
  if (accepted.includes(response.status)) return response
  throw await statusError(response, request)
}

/** `quay.io: GET manifests/latest of containerdisks/nope: 404 MANIFEST_UNKNOWN manifest unknown`. */
export async function statusError(
  response: HttpResponse,
  request: Pick<HttpRequest, 'what'>,
): Promise<RegistryFsError> {
  const body = await readBodyStart(response, errorBodyBytes)
  const registryError = parseErrors(body)
  const from = response.redirected ? ` from ${response.url.host}` : ''
  const reason =
    registryError === undefined ? '' : ` ${redactText(`${registryError.code} ${registryError.message}`)}`
  return new RegistryFsError(
    codeOf(response.status, registryError?.code),
    `${request.what}: ${String(response.status)}${from}${reason}`,
    { retryAfterMs: parseRetryAfter(headerOf(response, 'retry-after')) },
  )
}

/** Worth sending again as it is: RFC 9110 server errors except 501, and 429. */
export function isRetriableStatus(status: number): boolean {
  return status === 429 || (status >= 500 && status !== 501 && status < 600)
}

function codeOf(status: number, registryCode: string | undefined): ErrorCode {
  switch (status) {
    case 401:
      return 'UNAUTHORIZED'
    case 403:
    case 451:
      return 'DENIED'
    case 404:
    case 410:
      return 'NOT_FOUND'
    case 429:
      return 'RATE_LIMITED'
    case 405:
    case 501:
      return 'UNSUPPORTED'
  }
  if (status >= 500 && status < 600) return 'UNAVAILABLE'
  switch (registryCode) {
    case 'UNAUTHORIZED':
    case 'DENIED':
    case 'UNSUPPORTED':
      return registryCode
    case 'TOOMANYREQUESTS':
      return 'RATE_LIMITED'
    case 'BLOB_UNKNOWN':
    case 'MANIFEST_UNKNOWN':
    case 'NAME_UNKNOWN':
      return 'NOT_FOUND'
    case undefined:
      break
  }
  return 'PROTOCOL'
}

/** OCI distribution-spec "Error Codes": the first of them. */
function parseErrors(body: Buffer): { code: string; message: string } | undefined {
  let document: unknown
  try {
    document = JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
  const errors = isObject(document) ? document['errors'] : undefined
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined
  const source = isObject(first) ? first : isObject(document) ? document : {}
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  const code = text(source['code'])
  const message = text(source['message'])
  return code === '' && message === '' ? undefined : { code, message }
}
