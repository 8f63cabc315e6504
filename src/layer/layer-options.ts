import type { ChunkCache } from '../blob/chunk-cache.js'
import type { BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import type { DiffId } from '../util/digest.js'
import type { Logger } from '../util/log.js'
import type { MemberCopies } from './member-copies.js'
import type { PassTurns } from './pass-turns.js'

export interface LayerOptions {
  readonly descriptor: Descriptor
  readonly blob: BlobSource
  readonly cache: ChunkCache
  /** `<path>.idx` is the index file, `<path>.journal` the running pass's. */
  readonly indexPath: string
  /** The cache directory belongs to another process: use what it has, write nothing. */
  readonly readOnly: boolean
  /** gzip is inflated by Node's zlib, not by our own decoder. */
  readonly zlib: boolean
  readonly diffId: () => Promise<DiffId | undefined>
  readonly passes: PassTurns
  /** For one span's worth of fetching and inflating. */
  readonly readDeadlineMs: number
  /** Of members, as files; undefined: none are made or read. */
  readonly copies?: MemberCopies | undefined
  /** Resolves once another of this digest, whose file has gone, has ended: until then memory may have what that one made. */
  readonly replaced?: Promise<void> | undefined
  readonly log: Logger
}
