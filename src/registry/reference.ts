import type { Digest } from '../util/digest.js'

/** A repository in a registry, e.g. { host: 'quay.io', path: 'containerdisks/fedora' }. */
export interface Repository {
  /** As the user writes it, with port: `docker.io`, `127.0.0.1:5000`. The API host of docker.io is the client's affair. */
  readonly host: string
  readonly path: string
}

/** registry/repository[:tag][@digest], completed: docker.io, library/ and :latest are filled in. */
export interface Reference extends Repository {
  /** Undefined when only a digest was given. */
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}
