import { RegistryFsError } from '../util/errors.js'
import type { AuthChallenge } from './auth-challenge.js'
import { parseObject } from './json-object.js'

export interface BearerToken {
  readonly value: string
  readonly lifetimeMs: number
}

/** distribution's token spec: "if omitted, this defaults to 60 seconds". */
const defaultLifetimeMs = 60_000
/** As the token goes into a header, and node's server side takes 16 KiB of headers. */
const maxTokenLength = 12 * 1024

/** The answer of a token server: `token` or `access_token`, and how long it lives. Throws PROTOCOL. */
export function parseToken(bytes: Buffer, what: string): BearerToken {
  const document = parseObject(bytes, what)
  const value = [document['token'], document['access_token']].find(
    (text) => typeof text === 'string' && text !== '',
  )
  if (typeof value !== 'string') throw new RegistryFsError('PROTOCOL', `${what}: the answer holds no token`)
  if (value.length > maxTokenLength || !/^[\x21-\x7e]+$/.test(value)) {
    throw new RegistryFsError('PROTOCOL', `${what}: the token is too long or holds strange characters`)
  }
  const seconds = document['expires_in']
  const known = typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0
  return { value, lifetimeMs: known ? seconds * 1000 : defaultLifetimeMs }
}

/**
 * Where to get a token, `scope` being what we need; the scopes that the challenge names are asked for in its place. Throws
 * PROTOCOL when the realm is no URL, or plain http where that is not `allowed`.
 */
export function tokenUrl(
  challenge: AuthChallenge,
  scope: string,
  allowsPlainHttp: (host: string) => boolean,
  what: string,
): URL {
  const realm = challenge.parameters.get('realm') ?? ''
  if (!URL.canParse(realm))
    throw new RegistryFsError('PROTOCOL', `${what}: the challenge's realm is not a URL`)
  const url = new URL(realm)
  url.username = ''
  url.password = ''
  url.hash = ''
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && allowsPlainHttp(url.host))) {
    throw new RegistryFsError(
      'PROTOCOL',
      `${what}: the token server ${url.host} is not https, so it is not asked`,
    )
  }
  const service = challenge.parameters.get('service')
  if (service !== undefined) url.searchParams.set('service', service)
  const scopes = (challenge.parameters.get('scope') ?? '').split(' ').filter((part) => part !== '')
  // Some token servers read the first scope only, so ours is that where it is among them.
  const inOrder = scopes.length === 0 || scopes.includes(scope) ? [scope, ...scopes] : scopes
  for (const wanted of new Set(inOrder)) url.searchParams.append('scope', wanted)
  return url
}
