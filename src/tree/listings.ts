import { LRUCache } from 'lru-cache'
import { formatRepository, type Repository } from '../registry/reference.js'
import type { Registry } from '../registry/registry.js'
import type { ReadOptions } from '../util/abort.js'
import { SingleFlight } from '../util/single-flight.js'

export type ListingSource = Pick<Registry, 'listRepositories' | 'listTags'>

const remembered = { max: 1024, ttl: 30_000 }

/** `_catalog` and `tags/list`, asked at most twice a minute each: listings are a help, names work without them. */
export class Listings {
  readonly #source: ListingSource
  readonly #known = new LRUCache<string, readonly string[]>(remembered)
  readonly #flights = new SingleFlight<string, readonly string[]>()

  constructor(source: ListingSource) {
    this.#source = source
  }

  /** Empty where the registry has no catalog or does not show it. */
  async repositories(host: string, options?: ReadOptions): Promise<readonly string[]> {
    return this.#once(`catalog ${host}`, async () => this.#source.listRepositories(host), options)
  }

  async tags(repository: Repository, options?: ReadOptions): Promise<readonly string[]> {
    return this.#once(
      `tags ${formatRepository(repository)}`,
      async () => this.#source.listTags(repository),
      options,
    )
  }

  async #once(
    key: string,
    list: () => Promise<readonly string[] | undefined>,
    options?: ReadOptions,
  ): Promise<readonly string[]> {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const fetch = async (): Promise<readonly string[]> => {
      const listed = (await list()) ?? []
      this.#known.set(key, listed)
      return listed
    }
    return this.#flights.run(key, fetch, options)
  }
}
