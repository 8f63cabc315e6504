import { hasCode } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { parseObject } from './json-object.js'
import { isRepositoryPath, isTag, type Repository } from './reference.js'
import { pullScope, type RegistryApi } from './registry-api.js'
import { headersOf, type HttpResponse } from './transport.js'

const maxNames = 10_000
/** Some registries give 100 names at a time whatever is asked for. */
const maxPages = 200
const pageBytes = 4 * 1024 * 1024

/** The two listings of a registry, all pages up to 10,000 names. */
export class Listing {
  readonly #api: RegistryApi
  readonly #log: Logger

  constructor(api: RegistryApi, log: Logger) {
    this.#api = api
    this.#log = log
  }

  /** Undefined where the registry has no catalog, or none for us. */
  async repositories(host: string): Promise<readonly string[] | undefined> {
    const what = `${host}: GET _catalog`
    const scope = 'registry:catalog:*'
    try {
      return await this.#pages(
        { host, path: '_catalog?n=1000', what, scope },
        'repositories',
        isRepositoryPath,
      )
    } catch (error) {
      if (hasCode(error, 'UNAUTHORIZED', 'DENIED', 'NOT_FOUND', 'UNSUPPORTED')) return undefined
      throw error
    }
  }

  /** Undefined when there is no such repository. Leaves out the tags that stand for referrers. */
  async tags(repository: Repository): Promise<readonly string[] | undefined> {
    const { host, path } = repository
    const what = `${host}: GET tags/list of ${path}`
    const isShown = (tag: string): boolean => isTag(tag) && !/^sha(256|512)-[0-9a-f]{32,128}(\.|$)/.test(tag)
    try {
      return await this.#pages(
        { host, path: `${path}/tags/list?n=1000`, what, scope: pullScope(repository) },
        'tags',
        isShown,
      )
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND', 'UNSUPPORTED')) return undefined
      throw error
    }
  }

  async #pages(
    first: { host: string; path: string; what: string; scope: string },
    field: string,
    isShown: (name: string) => boolean,
  ): Promise<readonly string[]> {
    return this.#api.run(first.what, async (signal) => {
      const names = new Set<string>()
      let path: string | undefined = first.path
      for (let page = 0; path !== undefined && page < maxPages; page++) {
        const request = { ...first, path, kind: 'list', accept: 'application/json' } as const
        const { listed, response } = await this.#api.getDocument(request, pageBytes, signal, (document) => ({
          listed: parseObject(document.bytes, first.what)[field] ?? [],
          response: document.response,
        }))
        for (const name of Array.isArray(listed) ? (listed as unknown[]) : []) {
          if (names.size < maxNames && typeof name === 'string' && isShown(name)) names.add(name)
        }
        path = this.#nextPath(response, first.host, path)
        if (path !== undefined && (names.size >= maxNames || page === maxPages - 1)) {
          this.#log.warn({ host: first.host, names: names.size }, `the listing of ${field} is cut off`)
          break
        }
      }
      return [...names]
    })
  }

  /** RFC 8288 `Link: </v2/_catalog?last=x&n=1000>; rel="next"`; must stay below the registry's API and lead on. */
  #nextPath(response: HttpResponse, host: string, path: string): string | undefined {
    for (const link of headersOf(response, 'link')) {
      const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/i.exec(link)?.[1]
      const here = this.#api.urlOf(host, path)
      if (target === undefined || !URL.canParse(target, here.href)) continue
      const next = new URL(target, here.href)
      const top = this.#api.urlOf(host, '').pathname
      const isHere = next.host === here.host && next.pathname.startsWith(top) && next.href !== here.href
      return isHere ? `${next.pathname.slice(top.length)}${next.search}` : undefined
    }
    return undefined
  }
}
