import { dirname, isAbsolute, join } from 'node:path'
import type { ClientCertificateFiles, ConnectionSettings } from '../transport.js'
import type { TomlValue } from './toml-file.js'

/** One `[host."..."]` of a hosts.toml, or its `server`. */
export interface HostEntry {
  /** Ends in a slash, `/v2/` included unless override_path. */
  readonly base: URL
  readonly resolves: boolean
  readonly pulls: boolean
  readonly connection: ConnectionSettings
}

export interface HostsFile {
  /** Undefined: the registry itself. */
  readonly server: HostEntry | undefined
  /** In the order of the file. */
  readonly hosts: readonly HostEntry[]
}

/** containerd's docs/hosts.md. `defaultServer` is what top-level settings count for where no server is named. Throws INVALID. */
export function parseHostsFile(document: TomlValue, defaultServer: string): HostsFile {
  const server = document.get('server')
  const ownSettings = [
    'capabilities',
    'ca',
    'client',
    'skip_verify',
    'header',
    'override_path',
    'dial_timeout',
  ]
  const isSaid = !server.isAbsent || ownSettings.some((key) => !document.get(key).isAbsent)
  const hosts = document.get('host')
  return {
    server: isSaid ? parseEntry(server.string() ?? defaultServer, server, document) : undefined,
    hosts: hosts.keys().map((name) => parseEntry(name, hosts.get(name), hosts.get(name))),
  }
}

function parseEntry(name: string, named: TomlValue, settings: TomlValue): HostEntry {
  const text = name.includes('://') ? name : `https://${name}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '')
    throw named.invalid('must be a host or an http or https URL')
  const overrides = settings.get('override_path').boolean() ?? false
  const path = url.pathname.replace(/\/+$/, '')
  const base = new URL(overrides || path.endsWith('/v2') ? `${path}/` : `${path}/v2/`, url.origin)
  const capabilities = settings.get('capabilities')
  const listed = capabilities.list().map((value) => {
    const capability = value.string()
    if (!['pull', 'resolve', 'push'].includes(capability ?? ''))
      throw value.invalid('must be pull, resolve or push')
    return capability
  })
  const can = (what: string): boolean => listed.length === 0 || listed.includes(what)
  return {
    base,
    resolves: can('resolve'),
    pulls: can('pull'),
    connection: connectionOf(base.origin, settings),
  }
}

function connectionOf(origin: string, settings: TomlValue): ConnectionSettings {
  const inDirectory = (path: string): string => (isAbsolute(path) ? path : join(dirname(settings.file), path))
  const caFiles = settings
    .get('ca')
    .oneOrMore()
    .map((value) => inDirectory(textOf(value)))
  const header = settings.get('header')
  const headers = header.keys().map((name): [string, string] => {
    const values = header.get(name).oneOrMore().map(textOf)
    if (
      !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) ||
      values.some((value) => /[^\t\x20-\x7e\x80-\xff]/.test(value))
    )
      throw header.get(name).invalid('is no HTTP header')
    return [name.toLowerCase(), values.join(', ')]
  })
  return {
    id: `${settings.file} ${origin}`,
    origin,
    headers: Object.fromEntries(headers),
    caFiles,
    clientCertificates: clientsOf(settings.get('client'), inDirectory),
    skipVerify: settings.get('skip_verify').boolean() ?? false,
    connectTimeoutMs: timeoutOf(settings.get('dial_timeout')),
  }
}

/** `"a.pem"`, `["a.pem", "b.pem"]` (each with its key inside), or `[["a.cert", "a.key"], ...]`. */
function clientsOf(
  value: TomlValue,
  inDirectory: (path: string) => string,
): readonly ClientCertificateFiles[] {
  return value.oneOrMore().map((entry) => {
    if (!entry.isList) return { certificate: inDirectory(textOf(entry)), key: undefined }
    const [certificate, key, more] = entry.list()
    if (certificate === undefined || key === undefined || more !== undefined)
      throw entry.invalid('must be a certificate and its key')
    const keyFile = textOf(key)
    return {
      certificate: inDirectory(textOf(certificate)),
      key: keyFile === '' ? undefined : inDirectory(keyFile),
    }
  })
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Go's time.ParseDuration, as far as it makes sense for a connection. */
function timeoutOf(value: TomlValue): number | undefined {
  const text = value.string()
  if (text === undefined) return undefined
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (unitsMs[unit ?? ''] ?? 0), 0)
  if (parts.map(([part]) => part).join('') !== text || ms <= 0 || ms > 3_600_000)
    throw value.invalid('must be a time such as "10s" or "1m30s", an hour at most')
  return ms
}

function textOf(value: TomlValue): string {
  const text = value.string()
  if (text === undefined) throw value.invalid('must be a string')
  return text
}
