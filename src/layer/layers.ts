import { join } from 'node:path'
import type { ChunkCache } from '../blob/chunk-cache.js'
import { PassThroughCache } from '../blob/pass-through-cache.js'
import type { BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import { digestAlgorithm, digestHex, type Digest, type DiffId } from '../util/digest.js'
import type { Logger } from '../util/log.js'
import { mayHelp, type LayerOrigin } from './layer-origin.js'
import { Layer } from './layer.js'
import type { MemberCopies } from './member-copies.js'
import { PassTurns } from './pass-turns.js'
import { WatchedBlob } from './watched-blob.js'

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

interface Known {
  readonly layer: Layer
  readonly blob: WatchedBlob
  readonly origin: LayerOrigin
}

/** The layers of all images, each digest once, whatever tags and images share it. */
export class Layers {
  readonly #options: LayersOptions
  readonly #layers = new Map<Digest, Known>()
  readonly #passes = new PassTurns()

  constructor(options: LayersOptions) {
    this.#options = options
  }

  /**
   * The arguments beside the descriptor count only for the first who asks, and again once its file has gone or it fails where
   * another image may have it: what one image says, and a registry that is away, is no concern of the others.
   */
  get(
    descriptor: Descriptor,
    origin: LayerOrigin,
    blob: () => BlobSource,
    diffId: () => Promise<DiffId | undefined>,
  ): Layer {
    const before = this.#layers.get(descriptor.digest)
    if (before !== undefined && !isOver(before, origin)) return before.layer
    // One that has not begun has made nothing, and may wait for its turn for long.
    const hasBegun = before !== undefined && before.layer.state !== 'unread'
    const closed = before?.layer.close()
    const source = new WatchedBlob(blob())
    const options = this.#options
    const { cache, indexDirectory, zlib, readDeadlineMs, copies, log } = this.#options
    const layer = new Layer({
      descriptor,
      blob: source,
      cache: source.isLocal ? new PassThroughCache(cache) : cache,
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
    this.#layers.set(descriptor.digest, { layer, blob: source, origin })
    return layer
  }

  /** Whoever asks again, for the image that `origin` names, gets another layer. */
  isGone(layer: Layer, origin: LayerOrigin): boolean {
    const known = this.#layers.get(layer.descriptor.digest)
    return known?.layer !== layer || isOver(known, origin)
  }

  /** Stops all first passes. */
  async close(): Promise<void> {
    await Promise.all([...this.#layers.values()].map(async ({ layer }) => layer.close()))
  }
}

function isOver({ layer, blob, origin }: Known, other: LayerOrigin): boolean {
  if (blob.isGone) return true
  // Whoever waits for a pass that has come anywhere is not to lose it.
  if (layer.state === 'reading' && layer.size > 0) return false
  const error = layer.state === 'failed' ? layer.failure : blob.failure
  return error !== undefined && mayHelp(other, origin, error)
}
