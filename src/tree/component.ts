import { isHost, isRepositoryPath, isTag, looksLikeHost } from '../registry/reference.js'
import { tryParseDigest, type Digest } from '../util/digest.js'

/** What one component of a path above the images can mean, by its spelling alone. */
export type RootComponent = { readonly kind: 'host'; readonly host: string } | Component

export type Component =
  /** `fedora:40`, `fedora@sha256:...`, `fedora:40@sha256:...`: the end of a reference. */
  | {
      readonly kind: 'reference'
      readonly name: string
      readonly tag: string | undefined
      readonly digest: Digest | undefined
    }
  /** An image's `latest`, or a namespace: only the registry knows. */
  | { readonly kind: 'name'; readonly name: string }

/** At the top of the mount, where hosts stand beside the default registry's repositories. Undefined: no such name. */
export function parseRootComponent(
  text: string,
  configuredHosts: ReadonlySet<string>,
): RootComponent | undefined {
  if (looksLikeHost(text) || (configuredHosts.has(text) && isHost(text))) return { kind: 'host', host: text }
  return parseComponent(text)
}

/** Below a host. */
export function parseComponent(text: string): Component | undefined {
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : tryParseDigest(text.slice(at + 1))
  if (at >= 0 && digest === undefined) return undefined
  const tagged = at < 0 ? text : text.slice(0, at)
  const colon = tagged.indexOf(':')
  const name = colon < 0 ? tagged : tagged.slice(0, colon)
  const tag = colon < 0 ? undefined : tagged.slice(colon + 1)
  if (!isRepositoryPath(name) || name.includes('/')) return undefined
  if (tag !== undefined && !isTag(tag)) return undefined
  return tag === undefined && digest === undefined
    ? { kind: 'name', name }
    : { kind: 'reference', name, tag, digest }
}
