import type { TomlValue } from './toml-file.js'

/** One `[[registry]]` of podman's registries.conf (containers-registries.conf(5)). */
export interface RegistryRule {
  readonly file: string
  /** `quay.io`, `quay.io/team`, `*.example.com`. */
  readonly prefix: string
  /** What stands in the prefix's place at the primary. */
  readonly location: string
  readonly blocked: boolean
  readonly insecure: boolean
  readonly mirrors: readonly MirrorRule[]
}

export interface MirrorRule {
  readonly location: string
  readonly insecure: boolean
  /** What an image must be asked for by, for this mirror to have a part in it: its manifests and its blobs. */
  readonly pulls: 'all' | 'digest-only' | 'tag-only'
}

/** Throws INVALID. Short names are no business of ours: a name without a host is the default registry's. */
export function parseRegistriesConf(document: TomlValue): readonly RegistryRule[] {
  if (!document.get('registries').isAbsent)
    throw document.get('registries').invalid('is the format of version 1; write [[registry]] tables')
  const seen = new Set<string>()
  return document
    .get('registry')
    .list()
    .map((value) => {
      const rule = parseRule(value)
      if (seen.has(rule.prefix)) throw value.invalid(`has the prefix ${rule.prefix}, which is there twice`)
      seen.add(rule.prefix)
      return rule
    })
}

function parseRule(value: TomlValue): RegistryRule {
  const prefix = locationOf(value.get('prefix')) ?? locationOf(value.get('location'))
  if (prefix === undefined) throw value.invalid('needs a location or a prefix')
  const isWildcard = prefix.startsWith('*.')
  const location = locationOf(value.get('location')) ?? (isWildcard ? '' : prefix)
  if (location.startsWith('*')) throw value.get('location').invalid('must not have a wildcard')
  if (!value.get('pull-from-mirror').isAbsent)
    throw value.get('pull-from-mirror').invalid('belongs into a [[registry.mirror]]')
  const digestOnly = value.get('mirror-by-digest-only').boolean() ?? false
  return {
    file: value.file,
    prefix,
    location,
    blocked: value.get('blocked').boolean() ?? false,
    insecure: value.get('insecure').boolean() ?? false,
    mirrors: value
      .get('mirror')
      .list()
      .map((mirror) => parseMirror(mirror, digestOnly)),
  }
}

function parseMirror(value: TomlValue, digestOnly: boolean): MirrorRule {
  const location = locationOf(value.get('location'))
  if (location === undefined) throw value.invalid('needs a location')
  const given = value.get('pull-from-mirror')
  const pulls = given.string() ?? (digestOnly ? 'digest-only' : 'all')
  if (digestOnly && !given.isAbsent)
    throw given.invalid('cannot go together with mirror-by-digest-only of its registry')
  if (pulls !== 'all' && pulls !== 'digest-only' && pulls !== 'tag-only')
    throw given.invalid('must be all, digest-only or tag-only')
  return { location, insecure: value.get('insecure').boolean() ?? false, pulls }
}

/** `host[:port][/path]`. */
function locationOf(value: TomlValue): string | undefined {
  const text = value.string()?.replace(/\/+$/, '')
  if (text === undefined || text === '') return undefined
  if (text.includes('://')) throw value.invalid('must be a host with or without a path, not a URL')
  if (!/^(\*\.)?[A-Za-z0-9[][^\s@?#]*$/.test(text))
    throw value.invalid('is not a host with or without a path')
  const slash = text.indexOf('/')
  return slash < 0 ? text.toLowerCase() : text.slice(0, slash).toLowerCase() + text.slice(slash)
}

/**
 * The rule with the longest prefix that `name` (`quay.io/team/image`) begins with, and how much of the name that is.
 * A prefix ends where a component of the name does.
 */
export function findRule(
  rules: readonly RegistryRule[],
  name: string,
): { readonly rule: RegistryRule; readonly matched: number } | undefined {
  let best: { rule: RegistryRule; matched: number; length: number } | undefined
  for (const rule of rules) {
    const matched = matchLength(rule.prefix, name)
    // Prefixes are compared as they are written, as c/image does.
    if (matched === undefined || (best !== undefined && rule.prefix.length <= best.length)) continue
    best = { rule, matched, length: rule.prefix.length }
  }
  return best
}

function matchLength(prefix: string, name: string): number | undefined {
  if (!prefix.startsWith('*.')) {
    return name === prefix || name.startsWith(`${prefix}/`) ? prefix.length : undefined
  }
  const host = name.split('/', 1)[0] ?? ''
  const slash = prefix.indexOf('/')
  const suffix = prefix.slice(1, slash < 0 ? undefined : slash)
  if (!host.endsWith(suffix) || host.length === suffix.length) return undefined
  if (slash < 0) return host.length
  return matchLength(host + prefix.slice(slash), name)
}
