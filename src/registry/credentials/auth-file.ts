import { RegistryFsError } from '../../util/errors.js'
import { isObject, type JsonObject } from '../json-object.js'
import type { Credential } from './credential.js'
import { normalKey } from './registry-key.js'

/** What one credential file says; keys are in normalKey's form. */
export interface AuthFile {
  readonly credentials: ReadonlyMap<string, Credential>
  /** To why there are none, with the file and the key as it has it. */
  readonly broken: ReadonlyMap<string, string>
  /** To the name of a helper program, without `docker-credential-`. */
  readonly helpers: ReadonlyMap<string, string>
  /** docker's helper for all registries. */
  readonly store: string | undefined
}

/** What is wrong with an entry; nothing of the entry is in it. */
class BrokenEntry extends Error {}

/**
 * containers-auth.json(5) and docker's config.json; `isLegacy`: ~/.dockercfg, which is the map of `auths` alone. What is
 * no entry at all is left out. Throws INVALID when it is no JSON object.
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
  const broken = new Map<string, string>()
  for (const [key, entry] of entriesOf(isLegacy ? document : document['auths'])) {
    const known = normalKey(key)
    try {
      const credential = isObject(entry) ? parseEntry(entry) : undefined
      if (credential !== undefined && !credentials.has(known)) credentials.set(known, credential)
    } catch (error) {
      if (!(error instanceof BrokenEntry)) throw error
      broken.set(known, `${what}: the auth of ${JSON.stringify(key)} ${error.message}`)
    }
  }
  const helpers = new Map<string, string>()
  for (const [key, name] of entriesOf(isLegacy ? undefined : document['credHelpers']))
    if (typeof name === 'string' && name !== '') helpers.set(normalKey(key), name)
  const store = isLegacy ? undefined : document['credsStore']
  return {
    credentials,
    broken,
    helpers,
    store: typeof store === 'string' && store !== '' ? store : undefined,
  }
}

function entriesOf(value: unknown): readonly [string, unknown][] {
  return isObject(value) ? Object.entries(value) : []
}

/** Undefined for `{}` too: a sign that a helper has it. Throws BrokenEntry. */
function parseEntry(entry: JsonObject): Credential | undefined {
  const text = (name: string): string => (typeof entry[name] === 'string' ? entry[name] : '')
  const { username, password } = parseAuth(entry['auth'] ?? '') ?? {
    username: text('username'),
    password: text('password'),
  }
  const identityToken = text('identitytoken')
  if (identityToken !== '') return { username, password: identityToken, isIdentityToken: true }
  return username === '' && password === '' ? undefined : { username, password, isIdentityToken: false }
}

/** As strict as podman and docker, which refuse such a file (Go's base64.StdEncoding skips line breaks alone). */
function parseAuth(auth: unknown): { username: string; password: string } | undefined {
  if (typeof auth !== 'string') throw new BrokenEntry('is not a string')
  const encoded = auth.replace(/[\r\n]/g, '')
  if (encoded === '') return undefined
  if (encoded.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded))
    throw new BrokenEntry('is not base64')
  const decoded = Buffer.from(encoded, 'base64').toString('utf8')
  // At the first colon: passwords may hold one. Docker once padded them with NULs.
  const colon = decoded.indexOf(':')
  if (colon < 0) throw new BrokenEntry('has no colon between user and password')
  return {
    username: decoded.slice(0, colon),
    password: decoded.slice(colon + 1).replace(/^\0+|\0+$/g, ''),
  }
}
