import { isIP } from 'node:net'
import { parseDigest, type Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { formatLocalReference, type LocalTransport } from './local-reference.js'

/** A repository in a registry, e.g. { host: 'quay.io', path: 'containerdisks/fedora' }. */
export interface Repository {
  /** As the user writes it, with port: `docker.io`, `127.0.0.1:5000`. The API host of docker.io is the client's affair. */
  readonly host: string
  readonly path: string
  /** Of an image on this machine: then `host` is empty, `path` a place in the file system, and a tag any name. */
  readonly transport?: LocalTransport
}

/** registry/repository[:tag][@digest], completed: docker.io, library/ and :latest are filled in. */
export interface Reference extends Repository {
  /** Undefined when only a digest was given. */
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

export interface ParseReferenceOptions {
  /** Where a name without a host lives; docker.io unless told. */
  readonly defaultHost?: string
}

/** distribution/reference: a registry need not accept longer names. */
const maxNameLength = 255
const maxReferenceLength = maxNameLength + 1 + 128 + 1 + 'sha512:'.length + 128

// OCI distribution-spec, "Pulling manifests".
const pathPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const hostPattern =
  /^(?:(?<name>[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)|\[(?<v6>[0-9a-fA-F:.]+)\])(?::(?<port>[0-9]{1,5}))?$/

export function isRepositoryPath(path: string): boolean {
  return path.length <= maxNameLength && pathPattern.test(path)
}

export function isTag(tag: string): boolean {
  return tagPattern.test(tag)
}

/** `name[:port]`, `1.2.3.4[:port]` or `[v6][:port]`. */
export function isHost(host: string): boolean {
  const groups = host.length <= maxNameLength ? hostPattern.exec(host)?.groups : undefined
  if (groups === undefined) return false
  if (groups['v6'] !== undefined && isIP(groups['v6']) !== 6) return false
  const port = groups['port']
  return port === undefined || (Number(port) > 0 && Number(port) <= 65535)
}

/**
 * Whether a component of a path that stands alone can only be a registry: a dot before any colon, localhost, or an
 * IP address. `debian:12` is an image; `registry:5000` is one too unless it is configured.
 */
export function looksLikeHost(component: string): boolean {
  if (!isHost(component)) return false
  const name = component.startsWith('[') ? component : (component.split(':')[0] ?? '')
  return name.startsWith('[') || name.includes('.') || name === 'localhost'
}

/** Throws INVALID. Docker's rules: see docs of `docker pull` and distribution/reference normalize.go. */
export function parseReference(text: string, options: ParseReferenceOptions = {}): Reference {
  if (text.length > maxReferenceLength) throw invalid(text, 'it is too long')
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1))
  const name = at < 0 ? text : text.slice(0, at)
  const colon = name.lastIndexOf(':')
  const hasTag = colon > name.lastIndexOf('/')
  const tag = hasTag ? name.slice(colon + 1) : undefined
  if (tag !== undefined && !isTag(tag)) throw invalid(text, 'its tag is malformed')
  const repository = splitName(hasTag ? name.slice(0, colon) : name, text, options)
  return Object.freeze({ ...repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest })
}

export function formatRepository(repository: Repository): string {
  return `${repository.host}/${repository.path}`
}

/** Parses back to the same reference. */
export function formatReference(reference: Reference): string {
  if (reference.transport !== undefined) return formatLocalReference(reference)
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`
  return `${formatRepository(reference)}${tag}${digest}`
}

/** The host that answers the API of this registry. */
export function apiHost(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host
}

function splitName(name: string, text: string, options: ParseReferenceOptions): Repository {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  const named = /[.:[]/.test(first) || first === 'localhost'
  const host = canonicalHost(named ? first : (options.defaultHost ?? 'docker.io'))
  let path = named ? name.slice(slash + 1) : name
  if (!isHost(host)) throw invalid(text, `${JSON.stringify(host)} is no host`)
  if (host === 'docker.io' && path !== '' && !path.includes('/')) path = `library/${path}`
  if (host.length + 1 + path.length > maxNameLength) throw invalid(text, 'its name is too long')
  if (!pathPattern.test(path)) throw invalid(text, 'its repository is malformed')
  return { host, path }
}

function canonicalHost(host: string): string {
  const lower = host.toLowerCase()
  return lower === 'index.docker.io' ? 'docker.io' : lower
}

function invalid(text: string, reason: string): RegistryFsError {
  return new RegistryFsError(
    'INVALID',
    `not an image reference: ${JSON.stringify(text.slice(0, 200))}: ${reason}`,
  )
}
