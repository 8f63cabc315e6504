import { apiHost, formatRepository, isHost, isRepositoryPath, type Repository } from '../reference.js'
import { RegistryFsError } from '../../util/errors.js'
import { isLoopback } from '../insecure-hosts.js'
import { loadHostsDirectory } from './hosts-directory.js'
import type { HostEntry, HostsFile } from './hosts-toml.js'
import { findRule, type MirrorRule, type RegistryRule } from './registries-conf.js'
import { loadRegistriesConf } from './registries-files.js'
import { plainSource, type Source, type Sources } from './source.js'

/** More are not asked: each may cost a reader a time-out. */
export const maxMirrors = 7

export interface MirrorConfigOptions {
  /** podman's registries.conf; undefined: where podman looks. */
  readonly registriesConf?: string | undefined
  /** containerd's certs.d. */
  readonly hostsDirectory: string
}

/**
 * Where repositories are to be had: containerd's hosts.toml of the host, then podman's mirrors, then the registry itself.
 * registries.conf is read at once, a hosts.toml when its host is first asked for.
 */
export class MirrorConfig {
  readonly #rules: readonly RegistryRule[]
  readonly #hostsDirectory: string | undefined
  readonly #hosts = new Map<string, HostsFile | undefined>()

  constructor(rules: readonly RegistryRule[], hostsDirectory: string | undefined) {
    this.#rules = rules
    this.#hostsDirectory = hostsDirectory
  }

  /** Throws INVALID with the file and the place in it. */
  static load(options: MirrorConfigOptions): MirrorConfig {
    return new MirrorConfig(loadRegistriesConf(options.registriesConf), options.hostsDirectory)
  }

  /** Hosts that registries.conf frees from TLS. */
  get insecureHosts(): readonly string[] {
    const locations = this.#rules.flatMap((rule) => [
      ...(rule.insecure && rule.location !== '' ? [rule.location] : []),
      ...rule.mirrors.filter(({ insecure }) => insecure).map(({ location }) => location),
    ])
    return [...new Set(locations.map((location) => location.split('/', 1)[0] ?? ''))]
  }

  /** Throws DENIED for what is blocked, INVALID for a file that is no good. */
  sourcesOf(repository: Repository): Sources {
    const name = formatRepository(repository)
    const found = findRule(this.#rules, name)
    if (found?.rule.blocked === true)
      throw new RegistryFsError('DENIED', `${name} is blocked by ${found.rule.file}`)
    const rest = found === undefined ? '' : name.slice(found.matched)
    const podman = (found?.rule.mirrors ?? []).map((mirror) => sourceOfMirror(mirror, rest, found?.rule.file))
    const location = found?.rule.location ?? ''
    const moved =
      location === '' || location === name.slice(0, name.length - rest.length)
        ? repository
        : repositoryAt(location + rest, found?.rule.file)
    const hosts = this.#hostsOf(moved.host)
    const containerd = (hosts?.hosts ?? []).map((entry) => sourceOfEntry(entry, moved))
    return {
      mirrors: [...containerd, ...podman].slice(0, maxMirrors),
      primary: hosts?.server === undefined ? plainSource(moved) : sourceOfEntry(hosts.server, moved),
    }
  }

  #hostsOf(host: string): HostsFile | undefined {
    if (this.#hostsDirectory === undefined) return undefined
    if (this.#hosts.has(host)) return this.#hosts.get(host)
    const name = apiHost(host)
    const loaded = loadHostsDirectory(
      this.#hostsDirectory,
      host,
      `${isLoopback(name) ? 'http' : 'https'}://${name}`,
    )
    this.#hosts.set(host, loaded)
    return loaded
  }
}

function sourceOfEntry(entry: HostEntry, upstream: Repository): Source {
  const isUpstream = entry.base.host === apiHost(upstream.host)
  return {
    repository: { host: isUpstream ? upstream.host : entry.base.host, path: upstream.path },
    endpoint: {
      base: entry.base,
      namespace: isUpstream ? undefined : upstream.host,
      connection: entry.connection,
    },
    resolves: entry.resolves,
    pulls: entry.pulls,
    sendsBlobs: entry.pulls,
  }
}

function sourceOfMirror({ location, pulls }: MirrorRule, rest: string, file: string | undefined): Source {
  return {
    repository: repositoryAt(location + rest, file),
    endpoint: undefined,
    resolves: pulls !== 'digest-only',
    pulls: pulls !== 'tag-only',
    sendsBlobs: true,
  }
}

function repositoryAt(name: string, file: string | undefined): Repository {
  const slash = name.indexOf('/')
  const repository = { host: name.slice(0, slash), path: name.slice(slash + 1) }
  if (isHost(repository.host) && isRepositoryPath(repository.path)) return repository
  throw new RegistryFsError('INVALID', `${file ?? ''}: ${JSON.stringify(name)} is no repository`)
}
