import type { Digest, DiffId } from '../util/digest.js'
import type { RegistryFsError } from '../util/errors.js'
import type { IndexKeeper } from './index-keeper.js'
import type { LayerBytes, LayerContents } from './layer-contents.js'
import type { PassProgress } from './pass-progress.js'

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
  /** Why the index could not be saved; undefined where it was, or nobody tried. */
  readonly indexError: string | undefined
  /** Chunk bytes of this layer in the disk cache. */
  readonly cachedBytes: number
  /** In this mount: by a first pass, each once, and for readers. */
  readonly spansInflated: number
  /** Of these, the ones that had been inflated before: memory had no room for them, or nobody was there to keep them for. */
  readonly spansInflatedAgain: number
  readonly error: string | undefined
}

export interface LayerFacts {
  readonly state: LayerState
  readonly diffId: DiffId | undefined
  readonly contents: LayerContents | undefined
  /** Of the pass that runs. */
  readonly progress:
    Pick<PassProgress, 'frontierCompressed' | 'frontierUncompressed' | 'tree' | 'spans'> | undefined
  readonly index: Pick<IndexKeeper, 'fileBytes' | 'problem'>
  readonly failure: RegistryFsError | undefined
}

export function layerStatusOf({ descriptor, cache, inflations }: LayerBytes, facts: LayerFacts): LayerStatus {
  const { contents, progress } = facts
  return {
    digest: descriptor.digest,
    diffId: facts.diffId,
    mediaType: descriptor.mediaType,
    size: descriptor.size,
    state: facts.state,
    frontierCompressed: contents === undefined ? (progress?.frontierCompressed ?? 0) : descriptor.size,
    frontierUncompressed: contents?.tarBytes ?? progress?.frontierUncompressed ?? 0,
    members: (contents ?? progress)?.tree.memberCount ?? 0,
    seekPoints: contents?.seekPoints ?? progress?.spans.count ?? 0,
    indexBytes: facts.index.fileBytes,
    indexError: facts.index.problem,
    cachedBytes: cache.disk.bytesOf(descriptor.digest),
    spansInflated: inflations.total,
    spansInflatedAgain: inflations.repeated,
    error: facts.failure?.describe(),
  }
}
