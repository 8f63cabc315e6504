import { resolve } from 'node:path'
import { tryParseDigest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import type { Reference } from './reference.js'

/** Images on this machine, in the spelling of containers-transports(5). */
const localTransports = ['oci', 'oci-archive', 'docker-archive', 'dir', 'containers-storage'] as const
export type LocalTransport = (typeof localTransports)[number]

const pattern = new RegExp(`^(${localTransports.join('|')}):(.*)$`, 's')
const maxLength = 4096 + 512

/**
 * `oci:DIR[:REF]`, `dir:DIR`, `containers-storage:[[ROOT]]REF` and so on, each with `@sha256:...` behind it; undefined for
 * what is none of them, and so is in a registry. Paths become absolute. Throws INVALID.
 */
export function parseLocalReference(text: string): Reference | undefined {
  const [, transport, rest = ''] = pattern.exec(text) ?? []
  if (transport === undefined) return undefined
  if (text.length > maxLength || rest.includes('\0')) throw invalid(text, 'it is too long, or no text')
  if (transport === 'containers-storage' && rest === '') throw invalid(text, 'it names no image')
  const at = rest.lastIndexOf('@')
  const digest = at < 0 ? undefined : tryParseDigest(rest.slice(at + 1))
  const name = digest === undefined ? rest : rest.slice(0, at)
  const { path, tag } = split(transport as LocalTransport, name, text)
  return Object.freeze({ host: '', path, tag, digest, transport: transport as LocalTransport })
}

export function formatLocalReference({ transport = 'dir', path, tag, digest }: Reference): string {
  const suffix = digest === undefined ? '' : `@${digest}`
  if (transport === 'containers-storage')
    return `${transport}:${path === '' ? '' : `[${path}]`}${tag ?? ''}${suffix}`
  return `${transport}:${path}${tag === undefined ? '' : `:${tag}`}${suffix}`
}

function split(
  transport: LocalTransport,
  name: string,
  text: string,
): { path: string; tag: string | undefined } {
  const orUndefined = (part: string | undefined): string | undefined => (part === '' ? undefined : part)
  if (transport === 'containers-storage') {
    // `[driver@root+run:options]`, of which only the root matters for reading.
    const [, store, reference = name] = /^\[([^\]]*)\](.*)$/s.exec(name) ?? []
    if (store === undefined) return { path: '', tag: orUndefined(name) }
    const root = /^(?:[a-z0-9]+@)?([^+:]+)/.exec(store)?.[1]
    if (root === undefined) throw invalid(text, 'its store has no root')
    return { path: resolve(root), tag: orUndefined(reference) }
  }
  // As skopeo and podman split it: such a path has no colon.
  const colon = transport === 'dir' ? -1 : name.indexOf(':')
  const path = colon < 0 ? name : name.slice(0, colon)
  if (path === '') throw invalid(text, 'it has no path')
  return { path: resolve(path), tag: colon < 0 ? undefined : orUndefined(name.slice(colon + 1)) }
}

function invalid(text: string, reason: string): RegistryFsError {
  return new RegistryFsError('INVALID', `not a local image: ${JSON.stringify(text.slice(0, 200))}: ${reason}`)
}
