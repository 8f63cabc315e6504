import type { Reference, Repository } from '../registry/reference.js'
import type { Digest } from '../util/digest.js'

/** How long a name above the images is believed: as long as the kernel believes it anyhow. */
export const nameValidMs = 1_000

/** A place between a host and its images: `path` is empty, or the components so far. */
export interface Place {
  /** In the mount, without a slash at the end; empty at the top. */
  readonly mountPath: string
  readonly host: string
  readonly path: string
}

export function placeBelow(place: Place, text: string, name: string): Place {
  return {
    mountPath: `${place.mountPath}/${text}`,
    host: place.host,
    path: place.path === '' ? name : `${place.path}/${name}`,
  }
}

/** Docker's rule: a single name on docker.io means library/name. */
export function completeRepository({ host, path }: Repository): Repository {
  return { host, path: host === 'docker.io' && !path.includes('/') ? `library/${path}` : path }
}

export function referenceAt(place: Place, tag: string | undefined, digest: Digest | undefined): Reference {
  return Object.freeze({ ...completeRepository(place), tag, digest })
}

/** The rest of a repository's path as seen from here; undefined for those elsewhere. */
export function pathBelow(place: Place, path: string): string | undefined {
  const shown =
    place.host === 'docker.io' && place.path === '' && /^library\/[^/]+$/.test(path) ? path.slice(8) : path
  if (place.path === '') return shown
  return shown.startsWith(`${place.path}/`) ? shown.slice(place.path.length + 1) : undefined
}
