import { join } from 'node:path'
import type { ChunkCache } from '../blob/chunk-cache.js'
import { PassThroughCache } from '../blob/pass-through-cache.js'
import type { BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import { digestAlgorithm, digestHex, type Digest, type DiffId } from '../util/digest.js'
import type { Logger } from '../util/log.js'
import { Layer } from './layer.js'
import type { MemberCopies } from './member-copies.js'
import { PassTurns } from './pass-turns.js'

export interface LayersOptions {
  readonly cache: ChunkCache
  readonly indexDirectory: string
  readonly readOnly: boolean
  /** gzip is inflated by Node's zlib, not by our own decoder. */
  readonly zlib: boolean
  readonly readDeadlineMs: number
  readonly copies?: MemberCopies | undefined
  readonly log: Logger
}

/** The layers of all images, each digest once, whatever tags and images share it. */
export class Layers {
  readonly #options: LayersOptions
  readonly #layers = new Map<Digest, { readonly layer: Layer; readonly blob: BlobSource }>()
  readonly #passes = new PassTurns()

  constructor(options: LayersOptions) {
    this.#options = options
  }

  /** The arguments beside the descriptor count only for the first who asks, and after its file has gone. */
  get(descriptor: Descriptor, blob: () => BlobSource, diffId: () => Promise<DiffId | undefined>): Layer {
    const known = this.#layers.get(descriptor.digest)
    if (known !== undefined && known.blob.isGone !== true) return known.layer
    // One that has not begun has made nothing, and may wait for its turn for long.
    const hasBegun = known !== undefined && known.layer.state !== 'unread'
    const closed = known?.layer.close()
    const source = blob()
    const options = this.#options
    const { cache, indexDirectory, zlib, readDeadlineMs, copies, log } = this.#options
    const layer = new Layer({
      descriptor,
      blob: source,
      cache: source.isLocal === true ? new PassThroughCache(cache) : cache,
      indexPath: join(indexDirectory, digestAlgorithm(descriptor.digest), digestHex(descriptor.digest)),
      get readOnly() {
        return options.readOnly
      },
      zlib,
      diffId,
      passes: this.#passes,
      readDeadlineMs,
      copies,
      replaced: hasBegun ? closed : undefined,
      log,
    })
    this.#layers.set(descriptor.digest, { layer, blob: source })
    return layer
  }

  /** The file of this layer has changed or gone: whoever asks again gets another one. */
  isGone(layer: Layer): boolean {
    const known = this.#layers.get(layer.descriptor.digest)
    return known?.layer !== layer || known.blob.isGone === true
  }

  /** Stops all first passes. */
  async close(): Promise<void> {
    await Promise.all([...this.#layers.values()].map(async ({ layer }) => layer.close()))
  }
}
