import type { Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { formatRange } from './content-range.js'
import type { Repository } from './reference.js'
import { pullScope, type RegistryApi } from './registry-api.js'
import { statusError } from './status-check.js'
import { headerOf, type HttpRequest, type HttpResponse } from './transport.js'

/** By a range of one byte: signed URLs are for GET only. PROTOCOL when the registry does not tell. */
export async function fetchBlobSize(
  api: RegistryApi,
  repository: Repository,
  digest: Digest,
  signal: AbortSignal,
): Promise<number> {
  const { host, path } = repository
  const request: HttpRequest = {
    method: 'GET',
    url: api.urlOf(host, `${path}/blobs/${digest}`),
    headers: { range: formatRange(0, 1) },
    kind: 'blob',
    what: `${host}: size of blobs/${digest} of ${path}`,
    authorization: { host, scope: pullScope(repository) },
    signal,
  }
  const response = await api.transport.send(request)
  if (![200, 206, 416].includes(response.status)) throw await statusError(response, request)
  response.body.discard()
  const size = Number(totalOf(response) ?? Number.NaN)
  if (Number.isSafeInteger(size)) return size
  throw new RegistryFsError('PROTOCOL', `${request.what}: the registry does not say`)
}

/** RFC 9110 14.4; a blob of no bytes has no range to give (416). */
function totalOf(response: HttpResponse): string | undefined {
  if (response.status === 200) return headerOf(response, 'content-length')
  return /^\s*bytes\s+[^/]+\/(\d+)\s*$/i.exec(headerOf(response, 'content-range') ?? '')?.[1]
}
