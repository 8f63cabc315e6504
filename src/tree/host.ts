import type { ReadOptions } from '../util/abort.js'
import { Directory } from './directory.js'
import type { Namespace } from './namespace.js'
import type { Place } from './place.js'
import type { Facts, TreeEntry, TreeLookup } from './node.js'

/** A registry: is, say, /quay.io or /127.0.0.1:5000. Exists by its spelling; what is in it, the registry says. */
export class HostDirectory extends Directory {
  readonly #namespace: Namespace
  readonly #place: Place

  constructor(namespace: Namespace, host: string) {
    super()
    this.#namespace = namespace
    this.#place = { mountPath: `/${host}`, host, path: '' }
  }

  get subject(): string {
    return this.#place.host
  }

  override async lookup(name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined> {
    return this.#namespace.lookup(this.#place, name, options)
  }

  override async entries(options?: ReadOptions): Promise<readonly TreeEntry[]> {
    return this.#namespace.entries(this.#place, true, options)
  }

  override async explain(): Promise<Facts> {
    return Promise.resolve(new Map([['host', this.#place.host]]))
  }
}
