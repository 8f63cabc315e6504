import type { Image, NodeAttributes } from '../image/image.js'
import type { ReadOptions } from '../util/abort.js'
import type { Reference } from '../registry/reference.js'
import { formatReference, formatRepository } from '../registry/reference.js'
import { Directory } from './directory.js'
import type { Namespace } from './namespace.js'
import { nameValidMs, referenceAt, type Place } from './place.js'
import type { Facts, TreeEntry, TreeLookup, TreeNode } from './node.js'
import { parseComponent } from './component.js'

/**
 * A name whose image is found only when something below it is asked for, so that `ls -l` of many such names, and the way
 * through them to a tagged image, cost no request.
 */
abstract class Unresolved extends Directory {
  #current: TreeNode | undefined

  override get isResolved(): boolean {
    return false
  }

  /** The image's root may have some. */
  override get isBare(): boolean {
    return false
  }

  /** The image's root; this directory itself where it is no image. */
  override async resolve(options?: ReadOptions): Promise<TreeNode> {
    const current = await this.find(options)
    this.#current = current
    return current
  }

  protected abstract find(options?: ReadOptions): Promise<TreeNode>

  override get image(): Image | undefined {
    return this.#resolved?.image
  }

  get #resolved(): TreeNode | undefined {
    return this.#current === this ? undefined : this.#current
  }

  /** Of the image, once it is known; never a request. */
  override get attributes(): NodeAttributes {
    return this.#resolved?.attributes ?? super.attributes
  }

  protected async lookupIn(
    node: TreeNode,
    name: Buffer,
    options?: ReadOptions,
  ): Promise<TreeLookup | undefined> {
    const found = await node.lookup(name, options)
    // The tag can move: what this name leads to is only believed as long as the tag itself.
    return found === undefined ? undefined : { node: found.node, validMs: nameValidMs }
  }
}

/** A repository's `latest`, else a namespace: is, say, /quay.io/containerdisks, /quay.io/containerdisks/fedora or /debian. */
export class RepositoryDirectory extends Unresolved {
  readonly #namespace: Namespace
  readonly #place: Place

  constructor(namespace: Namespace, place: Place) {
    super()
    this.#namespace = namespace
    this.#place = place
  }

  get subject(): string {
    return formatRepository(this.#place)
  }

  protected override async find(options?: ReadOptions): Promise<TreeNode> {
    const latest = referenceAt(this.#place, 'latest', undefined)
    const { finder } = this.#namespace
    // An image that was found once is asked for itself: that is the request that also notices when its tag has gone.
    if (this.image === undefined && !(await finder.exists(latest, options))) return this
    return (await finder.find(this.#place.mountPath, latest, options)) ?? this
  }

  override async lookup(name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined> {
    // `a/b:1` is asked for before whether `a` has a `latest`: the usual way to an image saves a request, and only a member
    // named like a tagged image that exists as well would be hidden by it.
    if (parseComponent(name.toString())?.kind === 'reference') {
      const tagged = await this.#namespace.lookup(this.#place, name, options)
      if (tagged !== undefined) return tagged
    }
    const here = await this.resolve(options)
    return here === this
      ? this.#namespace.lookup(this.#place, name, options)
      : this.lookupIn(here, name, options)
  }

  override async entries(options?: ReadOptions): Promise<readonly TreeEntry[]> {
    const here = await this.resolve(options)
    return here === this ? this.#namespace.entries(this.#place, true, options) : here.entries(options)
  }

  override async explain(options?: ReadOptions): Promise<Facts> {
    const here = await this.resolve(options)
    if (here !== this) return here.explain(options)
    return new Map([['repository', formatRepository(this.#place)]])
  }
}

/** An image named at mount time: is, say, /fedora for fedora=quay.io/containerdisks/fedora:40. */
export class AliasDirectory extends Unresolved {
  readonly #namespace: Namespace
  readonly #mountPath: string
  readonly #reference: Reference

  constructor(namespace: Namespace, mountPath: string, reference: Reference) {
    super()
    this.#namespace = namespace
    this.#mountPath = mountPath
    this.#reference = reference
  }

  get subject(): string {
    return formatReference(this.#reference)
  }

  protected override async find(options?: ReadOptions): Promise<TreeNode> {
    return this.#namespace.finder.get(this.#mountPath, this.#reference, options)
  }

  override async lookup(name: Buffer, options?: ReadOptions): Promise<TreeLookup | undefined> {
    return this.lookupIn(await this.resolve(options), name, options)
  }

  override async entries(options?: ReadOptions): Promise<readonly TreeEntry[]> {
    return (await this.resolve(options)).entries(options)
  }

  override async explain(options?: ReadOptions): Promise<Facts> {
    return (await this.resolve(options)).explain(options)
  }
}
