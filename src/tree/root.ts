import { LRUCache } from 'lru-cache'
import type { Reference } from '../registry/reference.js'
import type { ReadOptions } from '../util/abort.js'
import { aboutName } from './about-name.js'
import { parseRootComponent } from './component.js'
import { Directory } from './directory.js'
import { HostDirectory } from './host.js'
import type { Namespace } from './namespace.js'
import { nameValidMs, type Place } from './place.js'
import type { Facts, TreeEntry, TreeLookup, TreeNode } from './node.js'
import { AliasDirectory } from './repository.js'

export interface RootOptions {
  readonly defaultHost: string
  readonly configuredHosts: readonly string[]
  readonly aliases: ReadonlyMap<string, Reference>
  /** No other image can be named, and nothing is asked of any registry for a name that is no alias. */
  readonly onlyAliases?: boolean
}

/** The top of the mount, /: aliases, hosts, the default registry's repositories and .registryfs. Makes no request to list itself. */
export class RootDirectory extends Directory {
  readonly #namespace: Namespace
  readonly #place: Place
  readonly #configuredHosts: ReadonlySet<string>
  readonly #onlyAliases: boolean
  readonly #fixed = new Map<string, TreeNode>()
  readonly #hosts = new LRUCache<string, HostDirectory>({ max: 1024 })

  constructor(namespace: Namespace, about: TreeNode, options: RootOptions) {
    super()
    this.#namespace = namespace
    this.#place = { mountPath: '', host: options.defaultHost, path: '' }
    this.#configuredHosts = new Set(options.configuredHosts)
    this.#onlyAliases = options.onlyAliases ?? false
    for (const [alias, reference] of options.aliases) {
      this.#fixed.set(alias, new AliasDirectory(namespace, `/${alias}`, reference))
    }
    this.#fixed.set(aboutName, about)
  }

  /** Of names without a host. */
  get subject(): string {
    return this.#place.host
  }

  override async lookup(name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined> {
    const text = name.toString()
    const fixed = this.#fixed.get(text)
    if (fixed !== undefined) return { node: fixed, validMs: Infinity }
    if (this.#onlyAliases) return undefined
    const component = parseRootComponent(text, this.#configuredHosts)
    if (component === undefined) return undefined
    if (component.kind === 'host') return { node: this.#hostAt(component.host), validMs: nameValidMs }
    return this.#namespace.lookupComponent(this.#place, text, component, options)
  }

  override async entries(options?: ReadOptions): Promise<readonly TreeEntry[]> {
    const entries = new Map<string, TreeEntry>()
    const add = (name: string, node: TreeNode): void => {
      entries.set(name, { name: Buffer.from(name), type: 'directory', node })
    }
    if (!this.#onlyAliases) await this.#addOthers(entries, add, options)
    for (const [name, node] of this.#fixed) add(name, node)
    return [...entries.values()].sort((one, other) => Buffer.compare(one.name, other.name))
  }

  async #addOthers(
    entries: Map<string, TreeEntry>,
    add: (name: string, node: TreeNode) => void,
    options: ReadOptions | undefined,
  ): Promise<void> {
    for (const entry of await this.#namespace.entries(this.#place, false, options)) {
      entries.set(entry.name.toString(), entry)
    }
    // Local images have no host, and are seen by their aliases alone.
    const seen = this.#namespace.finder
      .opened()
      .flatMap(({ reference: { host } }) => (host === '' ? [] : host))
    for (const host of [...this.#configuredHosts, ...seen]) {
      if (host !== this.#place.host || this.#configuredHosts.has(host)) add(host, this.#hostAt(host))
    }
  }

  override async explain(): Promise<Facts> {
    return Promise.resolve(new Map([['registry', this.#place.host]]))
  }

  #hostAt(text: string): HostDirectory {
    // Two spellings of one registry must be one cache and one set of credentials.
    const host = text.toLowerCase() === 'index.docker.io' ? 'docker.io' : text.toLowerCase()
    let directory = this.#hosts.get(host)
    if (directory === undefined) {
      directory = new HostDirectory(this.#namespace, host)
      this.#hosts.set(host, directory)
    }
    return directory
  }
}
