import { homedir } from 'node:os'
import { join } from 'node:path'
import { hostPlatform, type Platform } from './registry/platform.js'

export const inflaters = ['own', 'zlib'] as const
export type Inflater = (typeof inflaters)[number]

/** Everything that can be said about how registryfs works; commands fill it from their flags. */
export interface CoreConfig {
  readonly cacheDirectory: string
  /** Most that the chunks may take on disk. */
  readonly cacheBytes: number
  /** So much of the cache's file system is left free. */
  readonly freeReserveBytes: number
  /** Most that members kept as files of their own may take on disk; 0: none are kept. */
  readonly materializeBytes: number
  /** Budget for chunks and inflated spans in memory. */
  readonly memoryBytes: number
  /** What inflates gzip: our own decoder, or Node's zlib. */
  readonly inflate: Inflater
  /** Registry of names without one. */
  readonly defaultHost: string
  /** Names that are registries, however they are spelled. */
  readonly configuredHosts: readonly string[]
  /** TLS is not verified, and plain http allowed. */
  readonly insecureHosts: readonly string[]
  /** Instead of podman's and docker's files; undefined: those. */
  readonly authFile: string | undefined
  /** Certificate authorities in PEM, which count for every host; undefined: none beside this machine's. */
  readonly caFile: string | undefined
  /** podman's registries.conf; undefined: where podman looks. */
  readonly registriesConf: string | undefined
  /** containerd's certs.d with the hosts.toml files. */
  readonly hostsDirectory: string
  readonly platform: Platform
  /** A tag is checked again after this. */
  readonly tagTtlMs: number
  /** A read fails when nothing was achieved for so long. */
  readonly readDeadlineMs: number
  /** A connection that sends nothing for so long is given up. */
  readonly stallMs: number
}

export function defaultConfig(): CoreConfig {
  return {
    cacheDirectory: defaultCacheDirectory(),
    cacheBytes: 10 * 2 ** 30,
    freeReserveBytes: 2 ** 30,
    materializeBytes: 0,
    memoryBytes: 256 * 2 ** 20,
    inflate: 'own',
    defaultHost: 'docker.io',
    configuredHosts: [],
    insecureHosts: [],
    authFile: undefined,
    caFile: undefined,
    registriesConf: undefined,
    hostsDirectory: '/etc/containerd/certs.d',
    platform: hostPlatform(),
    tagTtlMs: 60_000,
    readDeadlineMs: 60_000,
    stallMs: 20_000,
  }
}

/** The file hierarchy standard's place for a system daemon, the XDG one for a user. */
function defaultCacheDirectory(): string {
  if (process.getuid?.() === 0) return '/var/cache/registryfs'
  const { XDG_CACHE_HOME: cacheHome } = process.env
  return join(cacheHome?.startsWith('/') === true ? cacheHome : join(homedir(), '.cache'), 'registryfs')
}
