import { RegistryFsError } from '../util/errors.js'
import { headerOf, type HttpResponse } from './transport.js'

/** Throws PROTOCOL: we asked for identity, and digests and ranges are about those bytes. */
export function checkEncoding(response: HttpResponse, what: string): void {
  const encoding = headerOf(response, 'content-encoding')?.trim().toLowerCase() ?? ''
  if (encoding === '' || encoding === 'identity') return
  const shown = JSON.stringify(encoding.slice(0, 40))
  throw new RegistryFsError(
    'PROTOCOL',
    `${what}: the answer is encoded (${shown}) although that was not asked for`,
  )
}
