import type { Repository } from '../reference.js'
import type { ConnectionSettings } from '../transport.js'

/** Where the API of a host lies, when it is not simply `/v2/` there. */
export interface Endpoint {
  /** Ends in a slash; `<repository>/manifests/<tag>` goes behind it. */
  readonly base: URL
  /** The registry that a mirror is asked to stand for, as containerd's `?ns=`. */
  readonly namespace: string | undefined
  readonly connection: ConnectionSettings
}

/** One place where a repository can be had. */
export interface Source {
  /** As it is called there. Credentials are those of this host, so that no mirror ever gets the primary's. */
  readonly repository: Repository
  readonly endpoint: Endpoint | undefined
  /** May say what a tag means. */
  readonly resolves: boolean
  /** May give manifests by digest, and blobs. */
  readonly pulls: boolean
}

/** In the order in which they are asked, the primary last. */
export interface Sources {
  readonly mirrors: readonly Source[]
  readonly primary: Source
}

export function plainSource(repository: Repository): Source {
  const { host, path } = repository
  return { repository: { host, path }, endpoint: undefined, resolves: true, pulls: true }
}
