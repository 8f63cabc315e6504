import { apiHost, formatRepository, isHost, isRepositoryPath, type Repository } from '../reference.js'
import { RegistryFsError } from '../../util/errors.js'
import { silentLogger, type Logger } from '../../util/log.js'
import { isLoopback } from '../insecure-hosts.js'
import type { HostEntry } from './hosts-toml.js'
import { findRule, type RegistryRule } from './registries-conf.js'
import { loadRegistriesConf } from './registries-files.js'
import { plainSource, type Source, type Sources } from './source.js'
import { WatchedHosts, type KnownHosts } from './watched-hosts.js'

/** More are not asked: each may cost a reader a time-out. */
export const maxMirrors = 7

export interface MirrorConfigOptions {
  /** podman's registries.conf; undefined: where podman looks. */
  readonly registriesConf?: string | undefined
  /** containerd's certs.d. */
  readonly hostsDirectory: string
}

/** How the user names the image that is asked for. */
export type PulledBy = 'tag' | 'digest'

/**
 * Where repositories are to be had: containerd's hosts.toml of the host, then podman's mirrors, then the registry itself.
 * registries.conf is read once, as podman does; a hosts.toml is read again when it has changed.
 */
export class MirrorConfig {
  readonly #rules: readonly RegistryRule[]
  readonly #hosts: WatchedHosts | undefined
  readonly #log: Logger
  /** Files whose mirrors are too many, told of once. */
  readonly #told = new Set<string>()

  constructor(
    rules: readonly RegistryRule[],
    hostsDirectory: string | undefined,
    log: Logger = silentLogger,
    now?: () => number,
  ) {
    this.#rules = rules
    this.#hosts = hostsDirectory === undefined ? undefined : new WatchedHosts(hostsDirectory, log, now)
    this.#log = log
  }

  /** Throws INVALID with the file and the place in it. */
  static load(options: MirrorConfigOptions, log: Logger): MirrorConfig {
    return new MirrorConfig(loadRegistriesConf(options.registriesConf), options.hostsDirectory, log)
  }

  /** Hosts that registries.conf frees from TLS. */
  get insecureHosts(): readonly string[] {
    const locations = this.#rules.flatMap((rule) => [
      ...(rule.insecure && rule.location !== '' ? [rule.location] : []),
      ...rule.mirrors.filter(({ insecure }) => insecure).map(({ location }) => location),
    ])
    return [...new Set(locations.map((location) => location.split('/', 1)[0] ?? ''))]
  }

  /**
   * podman's mirrors for tags or digests only have no part in images that are named the other way, neither for manifests
   * nor for blobs (containers/image's PullSourcesFromReference). Throws DENIED for what is blocked, INVALID for a file
   * that is no good.
   */
  sourcesOf(repository: Repository, pulledBy: PulledBy): Sources {
    const name = formatRepository(repository)
    const found = findRule(this.#rules, name)
    this.#throwIfBlocked(name, found?.rule)
    const file = found?.rule.file
    const rest = found === undefined ? '' : name.slice(found.matched)
    const podman = (found?.rule.mirrors ?? [])
      .filter(({ pulls }) => pulls === 'all' || pulls === `${pulledBy}-only`)
      .map((mirror) => plainSource(repositoryAt(mirror.location + rest, file)))
    const location = found?.rule.location ?? ''
    const moved =
      location === '' || location === name.slice(0, name.length - rest.length)
        ? repository
        : repositoryAt(location + rest, file)
    const hosts = this.#hostsOf(moved.host)
    const containerd = (hosts?.file?.hosts ?? []).map((entry) => sourceOfEntry(entry, moved, hosts))
    const mirrors = [...containerd, ...podman]
    if (mirrors.length > maxMirrors) this.#tellOfTooMany(moved.host, mirrors.length)
    return { mirrors: mirrors.slice(0, maxMirrors), primary: this.#primaryOf(moved) }
  }

  /**
   * Whom to ask for the catalog of a host: mirrors have catalogs of their own, of what they happen to hold. Undefined
   * where registries.conf moves the host into a part of another one, whose catalog says little about it. Throws DENIED
   * when the host is blocked.
   */
  catalogSourceOf(host: string): Source | undefined {
    const rule = findRule(this.#rules, host)?.rule
    this.#throwIfBlocked(host, rule)
    const location = rule === undefined || rule.location === '' ? host : rule.location
    return location.includes('/') ? undefined : this.#primaryOf({ host: location, path: '' })
  }

  #primaryOf(repository: Repository): Source {
    const hosts = this.#hostsOf(repository.host)
    const server = hosts?.file?.server
    return server === undefined ? plainSource(repository) : sourceOfEntry(server, repository, hosts)
  }

  #throwIfBlocked(name: string, rule: RegistryRule | undefined): void {
    if (rule?.blocked === true) throw new RegistryFsError('DENIED', `${name} is blocked by ${rule.file}`)
  }

  #tellOfTooMany(host: string, count: number): void {
    if (this.#told.has(host) || this.#told.size >= 1000) return
    this.#told.add(host)
    this.#log.warn(
      { host, mirrors: count, asked: maxMirrors },
      'too many mirrors: only the first ones are asked',
    )
  }

  #hostsOf(host: string): KnownHosts | undefined {
    const name = apiHost(host)
    return this.#hosts?.find(host, `${isLoopback(name) ? 'http' : 'https'}://${name}`)
  }
}

function sourceOfEntry(entry: HostEntry, upstream: Repository, hosts: KnownHosts | undefined): Source {
  const isUpstream = entry.base.host === apiHost(upstream.host)
  const id = `${entry.connection.id} ${String(hosts?.version)}`
  return {
    repository: { host: isUpstream ? upstream.host : entry.base.host, path: upstream.path },
    endpoint: {
      base: entry.base,
      namespace: isUpstream ? undefined : upstream.host,
      connection: { ...entry.connection, id },
    },
    resolves: entry.resolves,
    pulls: entry.pulls,
  }
}

function repositoryAt(name: string, file: string | undefined): Repository {
  const slash = name.indexOf('/')
  const repository = { host: name.slice(0, slash), path: name.slice(slash + 1) }
  if (isHost(repository.host) && isRepositoryPath(repository.path)) return repository
  throw new RegistryFsError('INVALID', `${file ?? ''}: ${JSON.stringify(name)} is no repository`)
}
