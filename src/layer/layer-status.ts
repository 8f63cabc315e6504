import type { Digest, DiffId } from '../util/digest.js'

export type LayerState = 'unread' | 'reading' | 'ready' | 'failed'

export interface LayerStatus {
  readonly digest: Digest
  readonly diffId: DiffId | undefined
  readonly mediaType: string
  /** Compressed bytes. */
  readonly size: number
  readonly state: LayerState
  /** How far the first pass has come: compressed and uncompressed bytes. Both final when ready. */
  readonly frontierCompressed: number
  readonly frontierUncompressed: number
  readonly members: number
  readonly seekPoints: number
  /** Of the index file on disk; 0 while there is none. */
  readonly indexBytes: number
  /** Chunk bytes of this layer in the disk cache. */
  readonly cachedBytes: number
  /** For readers: by the first pass, which kept them in memory, or later. What it inflated for nobody is not counted. */
  readonly spansInflated: number
  /** Of these, the ones that had been inflated before: there was no room for them in memory. */
  readonly spansInflatedAgain: number
  readonly error: string | undefined
}
