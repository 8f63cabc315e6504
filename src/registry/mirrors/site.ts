import type { ManifestFetcher } from '../manifest-fetcher.js'
import type { Repository } from '../reference.js'
import type { RegistryApi } from '../registry-api.js'
import type { Source } from './source.js'

/** A source with what it takes to ask it. */
export interface Site extends Source {
  /** For the log, and the same for all repositories of a mirror. */
  readonly name: string
  readonly isMirror: boolean
  readonly repository: Repository
  readonly api: RegistryApi
  readonly manifests: ManifestFetcher
}

/** What a site is asked for. */
export type SiteUse = 'resolves' | 'pulls'
