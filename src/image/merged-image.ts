import { fetchMissing, type FetchOptions, type Unkept } from '../blob/missing-chunks.js'
import type { Layer } from '../layer/layer.js'
import type { LayerStatus } from '../layer/layer-status.js'
import type { ImageConfig } from '../registry/image-config.js'
import { formatPlatform } from '../registry/platform.js'
import type { Reference } from '../registry/reference.js'
import type { ImageManifest } from '../registry/registry.js'
import { abortable, type ReadOptions } from '../util/abort.js'
import type { Lazy } from '../util/lazy.js'
import type { Image, ImageNode } from './image.js'
import { MergedView } from './merged-view.js'
import type { Logger } from '../util/log.js'

export interface MergedImageOptions {
  readonly reference: Reference
  readonly manifest: ImageManifest
  /** Base first, like the manifest's. */
  readonly layers: readonly Layer[]
  readonly config: Lazy<ImageConfig>
  /** Whether a file that a layer lay in has changed or gone. */
  readonly isGone: () => boolean
  readonly log?: Logger
}

/** An image in a registry, its layers merged base to top. */
export class MergedImage implements Image {
  readonly reference: Reference
  readonly manifest: ImageManifest
  readonly root: ImageNode
  readonly #layers: readonly Layer[]
  readonly #config: Lazy<ImageConfig>
  readonly #isGone: () => boolean
  #platform: string | undefined

  constructor(options: MergedImageOptions) {
    this.reference = options.reference
    this.manifest = options.manifest
    this.#layers = options.layers
    this.#config = options.config
    this.#isGone = options.isGone
    this.root = new MergedView(options.layers, options.log).root
  }

  get platform(): string | undefined {
    return this.#platform
  }

  get isGone(): boolean {
    return this.#isGone()
  }

  get isProven(): boolean {
    return this.#layers.every((layer) => layer.isProven)
  }

  async layerStatus({ signal }: ReadOptions = {}): Promise<readonly LayerStatus[]> {
    const config = await abortable(this.#config.get(), signal).catch(() => undefined)
    if (config?.platform !== undefined) this.#platform = formatPlatform(config.platform)
    return Promise.all(this.#layers.map(async (layer) => layer.status({ signal })))
  }

  get progress(): number | undefined {
    const known = this.#layers.flatMap(({ progress }) => (progress === undefined ? [] : [progress]))
    return known.length === 0 ? undefined : known.reduce((sum, progress) => sum + progress)
  }

  hold(): () => void {
    for (const { demand } of this.#layers) demand.hold()
    return () => {
      for (const { demand } of this.#layers) demand.release()
    }
  }

  async index(options: ReadOptions = {}): Promise<void> {
    await Promise.all(this.#layers.map(async (layer) => layer.prove(options)))
  }

  async fetchMissing(options: FetchOptions): Promise<Unkept | undefined> {
    return fetchMissing(
      this.#layers.flatMap(({ chunked }) => chunked ?? []),
      options,
    )
  }
}
