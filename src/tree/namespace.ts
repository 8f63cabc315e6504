import { LRUCache } from 'lru-cache'
import type { Images } from '../image/image.js'
import type { Reference, Repository } from '../registry/reference.js'
import type { ReadOptions } from '../util/abort.js'
import { hasCode } from '../util/errors.js'
import { Semaphore } from '../util/semaphore.js'
import { parseComponent, type Component } from './component.js'
import { ImageFinder } from './image-finder.js'
import { Listings, type ListingSource } from './listings.js'
import type { TreeEntry, TreeLookup } from './node.js'
import { completeRepository, nameValidMs, pathBelow, placeBelow, referenceAt, type Place } from './place.js'
import { RepositoryDirectory } from './repository.js'

/** One request for each repository: a directory with more repositories than this shows their names without tags. */
const maxTagLists = 64
const parallelTagLists = 8

/** What the directories above the images share: how names there are found and listed. */
export class Namespace {
  readonly finder: ImageFinder
  readonly #listings: Listings
  readonly #repositories = new LRUCache<string, RepositoryDirectory>({ max: 4096 })

  constructor(images: Images, listingSource: ListingSource) {
    this.finder = new ImageFinder(images)
    this.#listings = new Listings(listingSource)
  }

  async lookup(place: Place, name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined> {
    const text = name.toString()
    const component = parseComponent(text)
    return component === undefined ? undefined : this.lookupComponent(place, text, component, options)
  }

  async lookupComponent(
    place: Place,
    text: string,
    component: Component,
    options?: ReadOptions,
  ): Promise<TreeLookup | undefined> {
    const below = placeBelow(place, text, component.name)
    if (component.kind === 'name') return { node: this.repositoryAt(below), validMs: nameValidMs }
    const root = await this.finder.find(
      below.mountPath,
      referenceAt(below, component.tag, component.digest),
      options,
    )
    return root === undefined ? undefined : { node: root, validMs: nameValidMs }
  }

  repositoryAt(place: Place): RepositoryDirectory {
    let directory = this.#repositories.get(place.mountPath)
    if (directory === undefined) {
      directory = new RepositoryDirectory(this, place)
      this.#repositories.set(place.mountPath, directory)
    }
    return directory
  }

  /**
   * Images opened here, and what the registry lists. A catalog that cannot be had is no failure: most registries have none.
   * At the top, where nothing says that the default registry is meant, only what was opened (`ask` false).
   */
  async entries(place: Place, ask: boolean, options?: ReadOptions): Promise<readonly TreeEntry[]> {
    const names = new Set<string>()
    const here = new Set<string>()
    const note = (path: string, suffix: string | undefined): void => {
      const rest = pathBelow(place, path)
      if (rest === undefined) return
      const [first = '', ...deeper] = rest.split('/')
      if (deeper.length > 0) names.add(first)
      else if (suffix === undefined) here.add(first)
      else names.add(first + suffix)
    }
    for (const { reference } of this.finder.opened()) {
      if (reference.host === place.host) note(reference.path, suffixOf(reference))
    }
    if (ask) {
      for (const path of await this.#listings.repositories(place.host, options)) note(path, undefined)
      await this.#noteTags(place, [...here], names, options)
    }
    return [...names].sort().map((name) => this.#entry(place, name))
  }

  async #noteTags(
    place: Place,
    repositories: string[],
    names: Set<string>,
    options?: ReadOptions,
  ): Promise<void> {
    if (repositories.length > maxTagLists) {
      for (const name of repositories) names.add(name)
      return
    }
    const semaphore = new Semaphore(parallelTagLists)
    const noteOne = async (name: string): Promise<void> => {
      const tags = await this.#tags(completeRepository(placeBelow(place, name, name)), options)
      for (const tag of tags) names.add(`${name}:${tag}`)
      // Without a tag the name is an image only where there is a `latest`; elsewhere it would be an empty directory.
      if (tags.includes('latest')) names.add(name)
    }
    await Promise.all(repositories.map(async (name) => semaphore.run(async () => noteOne(name))))
  }

  async #tags(repository: Repository, options?: ReadOptions): Promise<readonly string[]> {
    try {
      return await this.#listings.tags(repository, options)
    } catch (error) {
      // One repository of many that we may not see must not hide the others.
      if (hasCode(error, 'UNAUTHORIZED', 'DENIED', 'NOT_FOUND')) return []
      throw error
    }
  }

  #entry(place: Place, text: string): TreeEntry {
    const component = parseComponent(text)
    const node =
      component?.kind === 'name' ? this.repositoryAt(placeBelow(place, text, component.name)) : undefined
    return { name: Buffer.from(text), type: 'directory', node }
  }
}

function suffixOf(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`
}
