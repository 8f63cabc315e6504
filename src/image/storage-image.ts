import type { LayerStatus } from '../layer/layer-status.js'
import type { StoredLayer } from '../local/containers-storage.js'
import type { ImageConfig } from '../registry/image-config.js'
import { formatPlatform } from '../registry/platform.js'
import type { Reference } from '../registry/reference.js'
import type { ImageManifest } from '../registry/registry.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import type { Lazy } from '../util/lazy.js'
import type { DiffId } from '../util/digest.js'
import type { Image, ImageNode } from './image.js'
import { StorageDirectory } from './storage-directory.js'
import { StorageView } from './storage-view.js'

export interface StorageImageOptions {
  readonly reference: Reference
  readonly manifest: ImageManifest
  readonly config: Lazy<ImageConfig>
  /** Base first. */
  readonly layers: readonly StoredLayer[]
}

/** An image that is unpacked in a store: no tar and no blob is left of it, and its files are read as they are. */
export class StorageImage implements Image {
  readonly reference: Reference
  readonly manifest: ImageManifest
  readonly root: ImageNode
  /** Whoever owns the store may change it. */
  readonly isProven = false
  /** Each lookup looks at the store anew. */
  readonly isGone = false
  readonly #layers: readonly StoredLayer[]
  readonly #config: Lazy<ImageConfig>
  #platform: string | undefined

  constructor(options: StorageImageOptions) {
    this.reference = options.reference
    this.manifest = options.manifest
    this.#layers = options.layers
    this.#config = options.config
    this.root = StorageDirectory.root(new StorageView(options.layers))
  }

  get platform(): string | undefined {
    return this.#platform
  }

  async layerStatus({ signal }: ReadOptions = {}): Promise<readonly LayerStatus[]> {
    const config = await abortable(this.#config.get(), signal).catch(() => undefined)
    if (config?.platform !== undefined) this.#platform = formatPlatform(config.platform)
    return this.#layers.map(({ digest, diffId, size }) => ({
      digest,
      diffId: diffId as string as DiffId | undefined,
      mediaType: 'inode/directory',
      size,
      state: 'ready',
      frontierCompressed: size,
      frontierUncompressed: size,
      members: 0,
      seekPoints: 0,
      indexBytes: 0,
      indexError: undefined,
      cachedBytes: 0,
      spansInflated: 0,
      spansInflatedAgain: 0,
      error: undefined,
    }))
  }

  readonly progress = undefined

  hold(): () => void {
    return () => undefined
  }

  async index(): Promise<void> {
    return Promise.resolve()
  }

  async fetchMissing(): Promise<undefined> {
    return Promise.resolve(undefined)
  }
}
