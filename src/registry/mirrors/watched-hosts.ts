import { LRUCache } from 'lru-cache'
import { describeError, RegistryFsError } from '../../util/errors.js'
import type { Logger } from '../../util/log.js'
import { hostsStamp, loadHostsDirectory } from './hosts-directory.js'
import type { HostsFile } from './hosts-toml.js'

/** Requests come in thousands, administrators one by one. */
const recheckMs = 1_000
/** Whoever uses the mount can name any host. */
const maxHosts = 1_000

export interface KnownHosts {
  /** Undefined: there is none for this host. */
  readonly file: HostsFile | undefined
  /** Another one each time that it was read anew. */
  readonly version: number
}

interface Known extends KnownHosts {
  readonly stamp: string
  readonly checkedAt: number
}

/** The hosts.toml of each host, read when it is first asked for and again when it has changed. */
export class WatchedHosts {
  readonly #root: string
  readonly #log: Logger
  readonly #now: () => number
  readonly #known = new LRUCache<string, Known>({ max: maxHosts })

  constructor(root: string, log: Logger, now: () => number = () => performance.now()) {
    this.#root = root
    this.#log = log
    this.#now = now
  }

  /** Throws INVALID for a file that is no good; one that was before is kept as it was, and the log says so. */
  find(host: string, defaultServer: string): KnownHosts {
    const known = this.#known.get(host)
    const checkedAt = this.#now()
    if (known !== undefined && checkedAt - known.checkedAt < recheckMs) return known
    const stamp = hostsStamp(this.#root, host)
    const latest =
      known?.stamp === stamp
        ? { ...known, checkedAt }
        : { ...this.#load(host, defaultServer, known), stamp, checkedAt }
    this.#known.set(host, latest)
    return latest
  }

  #load(host: string, defaultServer: string, known: Known | undefined): KnownHosts {
    try {
      const file = loadHostsDirectory(this.#root, host, defaultServer)
      if (known !== undefined) this.#log.info({ host }, 'hosts.toml has changed and was read again')
      return { file, version: (known?.version ?? 0) + 1 }
    } catch (error) {
      if (known === undefined || !(error instanceof RegistryFsError)) throw error
      this.#log.warn(
        { host, reason: describeError(error) },
        'hosts.toml has changed and is no good: what it said before counts',
      )
      return { file: known.file, version: known.version }
    }
  }
}
