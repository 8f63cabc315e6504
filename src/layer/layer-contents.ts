import { CachedSource, type ArrivingChunks } from '../blob/cached-source.js'
import type { ChunkCache } from '../blob/chunk-cache.js'
import type { BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import type { Digest, DiffId } from '../util/digest.js'
import type { Codec } from './codec.js'
import type { DecodedSpans } from './decoded-spans.js'
import type { Inflations } from './inflations.js'
import type { LayerIndex } from './layer-index.js'
import { LayerTree } from './layer-tree.js'
import type { PassProgress } from './pass-progress.js'
import { PlainSource } from './plain-source.js'
import { proveEmpty } from './proof.js'
import type { SeekTable } from './seek-table.js'
import { SpanSource } from './span-source.js'
import type { TarSource } from './tar-source.js'
import type { Windows } from './windows.js'
import { ZeroMap } from './zero-map.js'
import { ZstdSpans } from './zstd-spans.js'

/** sha256 that a chunk of the blob must have, as far as it is known. */
export type SealOf = (chunkIndex: number) => Buffer | undefined

/** All that is known of a layer once its members are. */
export interface LayerContents {
  readonly tree: LayerTree
  readonly source: TarSource
  readonly zeros: ZeroMap
  readonly tarBytes: number
  readonly seekPoints: number
  /** Whatever can be read of it is held against a digest of the manifest: all of it was, or each piece will be. */
  readonly isProven: boolean
  /** Absent where nobody has hashed the blob, as with a table of contents. */
  readonly sealOf?: SealOf
}

/** What sources are made of. */
export interface LayerBytes {
  readonly descriptor: Descriptor
  readonly blob: BlobSource
  readonly cache: ChunkCache
  readonly decoded: DecodedSpans
  readonly inflations: Inflations
  /** gzip is inflated by Node's zlib, not by our own decoder. */
  readonly zlib: boolean
  /** Of the running pass. */
  readonly arriving: ArrivingChunks
}

export function contentsOfIndex(index: LayerIndex, bytes: LayerBytes): LayerContents {
  const { spans, zeros, seals, tarBytes } = index
  const tree = LayerTree.of(index.members)
  const sealOf: SealOf = (i) => seals.subarray(i * 32, i * 32 + 32)
  const source = sourceOf({ ...index, codec: () => index.codec, sealOf }, bytes)
  return { tree, source, zeros, tarBytes, seekPoints: spans.count, isProven: true, sealOf }
}

/** `windows`: where they are by now. */
export function contentsOfPass(
  progress: PassProgress,
  tarBytes: number,
  bytes: LayerBytes,
  windows: Windows = progress.windows,
): LayerContents {
  const { tree, spans, zeros } = progress
  const source = sourceOfPass(progress, bytes, windows)
  const sealOf: SealOf = (index) => progress.sealOf(index)
  return { tree, source, zeros, tarBytes, seekPoints: spans.count, isProven: true, sealOf }
}

export function sourceOfPass(
  progress: PassProgress,
  bytes: LayerBytes,
  windows: Windows = progress.windows,
): TarSource {
  const { spans, zeros } = progress
  const codec = (): Codec => progress.codec
  return sourceOf({ codec, spans, windows, zeros, sealOf: (index) => progress.sealOf(index) }, bytes)
}

/** Blobs of no bytes are served as layers by some registries, and mean that nothing changed. */
export function emptyContents(digest: Digest, diffId: DiffId | undefined): LayerContents {
  proveEmpty(digest, diffId)
  const zeros = new ZeroMap()
  zeros.complete()
  const source: TarSource = {
    peekSome: () => undefined,
    covers: () => false,
    readSome: async () => Promise.resolve(0),
  }
  return { tree: new LayerTree(), source, zeros, tarBytes: 0, seekPoints: 0, isProven: true }
}

interface SourceParts {
  /** While a pass runs not known before there is a span. */
  readonly codec: () => Codec
  readonly spans: SeekTable
  readonly windows: Windows
  readonly zeros: ZeroMap
  readonly sealOf: SealOf
}

function sourceOf({ codec, spans, windows, zeros, sealOf }: SourceParts, bytes: LayerBytes): TarSource {
  const { descriptor, blob, cache, decoded, inflations, arriving, zlib } = bytes
  const { digest } = descriptor
  const { memory } = cache
  const compressed = new CachedSource(digest, blob, cache, sealOf, arriving)
  if (codec() === 'none') return new PlainSource(compressed, zeros)
  const frames = new ZstdSpans(digest, spans, compressed, memory, decoded)
  const zstd = (): ZstdSpans | undefined => (codec() === 'zstd' ? frames : undefined)
  return new SpanSource({ digest, spans, windows, zeros, compressed, memory, inflations, zlib, zstd })
}
