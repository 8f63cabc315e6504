import type { ChunkCache } from '../blob/chunk-cache.js'
import type { BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import type { DiffId } from '../util/digest.js'
import type { Logger } from '../util/log.js'
import type { DecodedSpans } from './decoded-spans.js'
import type { Inflations } from './inflations.js'

export interface FirstPassOptions {
  readonly layer: Descriptor
  readonly blob: BlobSource
  readonly cache: ChunkCache
  readonly decoded: DecodedSpans
  readonly inflations: Inflations
  /** gzip is inflated by Node's zlib, not by our own decoder. */
  readonly zlib: boolean
  /** Read and prove also what is not compressed, which `run` else leaves to others. */
  readonly takesPlain: boolean
  /** Undefined: nothing is journaled. */
  readonly journalPath: string | undefined
  /** From the image's config; undefined where it does not say. */
  readonly diffId: () => Promise<DiffId | undefined>
  /** Whether somebody reads the layer just now. */
  readonly isBeingRead: () => boolean
  readonly signal: AbortSignal
  readonly log: Logger
}
