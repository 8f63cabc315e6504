import { RegistryFsError } from '../../util/errors.js'
import { isObject, type JsonObject } from '../json-object.js'
import type { Credential } from './credential.js'
import { normalKey } from './registry-key.js'

/** What one credential file says; keys are in normalKey's form. */
export interface AuthFile {
  readonly credentials: ReadonlyMap<string, Credential>
  /** To the name of a helper program, without `docker-credential-`. */
  readonly helpers: ReadonlyMap<string, string>
  /** docker's helper for all registries. */
  readonly store: string | undefined
}

/**
 * containers-auth.json(5) and docker's config.json; `isLegacy`: ~/.dockercfg, which is the map of `auths` alone. An entry
 * that cannot be understood is left out. Throws INVALID when it is no JSON object.
 */
export function parseAuthFile(text: string, isLegacy: boolean, what: string): AuthFile {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // JSON.parse quotes what it read, and that is secret.
    throw new RegistryFsError('INVALID', `${what}: not JSON`)
  }
  if (!isObject(document)) throw new RegistryFsError('INVALID', `${what}: not a JSON object`)
  const credentials = new Map<string, Credential>()
  for (const [key, entry] of entriesOf(isLegacy ? document : document['auths'])) {
    const credential = isObject(entry) ? parseEntry(entry) : undefined
    const known = normalKey(key)
    if (credential !== undefined && !credentials.has(known)) credentials.set(known, credential)
  }
  const helpers = new Map<string, string>()
  for (const [key, name] of entriesOf(isLegacy ? undefined : document['credHelpers']))
    if (typeof name === 'string' && name !== '') helpers.set(normalKey(key), name)
  const store = isLegacy ? undefined : document['credsStore']
  return { credentials, helpers, store: typeof store === 'string' && store !== '' ? store : undefined }
}

function entriesOf(value: unknown): readonly [string, unknown][] {
  return isObject(value) ? Object.entries(value) : []
}

/** Undefined for `{}` too: a sign that a helper has it. */
function parseEntry(entry: JsonObject): Credential | undefined {
  const text = (name: string): string => (typeof entry[name] === 'string' ? entry[name] : '')
  const decoded = Buffer.from(text('auth'), 'base64').toString('utf8')
  // At the first colon: passwords may hold one. Docker once padded them with NULs.
  const colon = decoded.indexOf(':')
  const username = colon < 0 ? text('username') : decoded.slice(0, colon)
  const password = colon < 0 ? text('password') : decoded.slice(colon + 1).replace(/^\0+|\0+$/g, '')
  const identityToken = text('identitytoken')
  if (identityToken !== '') return { username, password: identityToken, isIdentityToken: true }
  return username === '' && password === '' ? undefined : { username, password, isIdentityToken: false }
}
