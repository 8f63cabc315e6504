/**
 * Fetches what the disk lacks of blobs, in order, each byte once. How much there is room for is settled before the first
 * request: a chunk that would push out another one of these is not fetched at all.
 */
import { throwIfAborted, type ReadOptions } from '../util/abort.js'
import type { Digest } from '../util/digest.js'
import { CachedSource } from './cached-source.js'
import { chunkBytes, chunkCount, chunkLength, type ChunkCache } from './chunk-cache.js'
import { unitHeaderBytes } from './chunk-unit.js'
import type { DiskChunkStore, Room } from './disk-chunk-store.js'
import type { BlobSource } from './source.js'

/** As the first pass does where bytes are waited for: more at a time cost memory, longer ones too. */
const mostRanges = 4
const rangeChunks = 4

/** A blob and what its chunks are held against. */
export interface ChunkedBlob {
  readonly digest: Digest
  readonly blob: BlobSource
  readonly cache: ChunkCache
  readonly sealOf: (index: number) => Buffer | undefined
}

export interface FetchOptions extends ReadOptions {
  /** Nothing of these blobs is thrown out to make room, nor of those that are fetched. */
  readonly kept: ReadonlySet<Digest>
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
}

/** Of the blobs' bytes, those that are not on the disk, and why. */
export interface Unkept {
  readonly bytes: number
  readonly bound: NonNullable<Room['bound']>
}

interface Range {
  readonly of: ChunkedBlob
  readonly first: number
  readonly end: number
}

/** All blobs have one cache. Undefined: all of them is on the disk. */
export async function fetchMissing(
  blobs: readonly ChunkedBlob[],
  { kept, signal, onProgress }: FetchOptions,
): Promise<Unkept | undefined> {
  // A layer may be in an image twice.
  const each = [...new Map(blobs.map((one) => [one.digest, one])).values()]
  const cache = each[0]?.cache
  if (cache === undefined) return undefined
  const { disk } = cache
  // They may be on their way from a first pass.
  await cache.settle()
  const before = missingOf(each, disk)
  if (before.bytes === 0) return undefined
  const digests = new Set(each.map(({ digest }) => digest))
  const keptBytes = (): number => [...digests].reduce((sum, digest) => sum + disk.bytesOf(digest), 0)
  const wanted = before.bytes + before.count * unitHeaderBytes
  const room = await disk.makeRoomBeside(new Set([...kept, ...digests]), wanted)
  const ranges = rangesOf(each, disk, room.bytes)
  const atFirst = keptBytes()
  const run = { doneBytes: 0, isRefused: false }
  const fetchNext = async (): Promise<boolean> => {
    throwIfAborted(signal)
    const range = ranges.next()
    if (range.done === true) return false
    const bytes = await fetchRange(range.value, signal)
    run.doneBytes += bytes
    onProgress?.(run.doneBytes, before.bytes)
    // The disk takes no more, or somebody else fills it, and what was there makes room for what comes.
    run.isRefused ||= keptBytes() < atFirst + run.doneBytes
    if (run.isRefused) ranges.return()
    return !run.isRefused
  }
  const fetchAll = async (): Promise<void> => {
    try {
      while (await fetchNext());
    } finally {
      ranges.return()
    }
  }
  // One alone finds out where the blob is.
  if (await fetchNext()) {
    const ended = await Promise.allSettled(Array.from({ length: mostRanges }, fetchAll))
    for (const end of ended) if (end.status === 'rejected') throw end.reason as Error
  }
  const { bytes } = missingOf(each, disk)
  return bytes === 0 ? undefined : { bytes, bound: run.isRefused ? 'refused' : (room.bound ?? 'refused') }
}

/** Resolves to how many bytes it has, once the disk has taken them or not. */
async function fetchRange({ of, first, end }: Range, signal: AbortSignal | undefined): Promise<number> {
  const { digest, blob, cache, sealOf } = of
  const offset = first * chunkBytes
  // One for each: where there is no reader there is nothing to read ahead for.
  const source = new CachedSource(digest, blob, cache, sealOf)
  const bytes = await source.read(offset, Math.min(blob.size, end * chunkBytes) - offset, { signal })
  await cache.settle()
  // What the disk did not take when it came may be in memory: then nobody else writes it.
  for (let index = first; index < end; index++) {
    const start = (index - first) * chunkBytes
    if (!cache.disk.has(digest, index))
      await cache.disk.save(digest, index, bytes.subarray(start, start + chunkLength(blob.size, index)))
  }
  return bytes.length
}

function missingOf(
  blobs: readonly ChunkedBlob[],
  disk: DiskChunkStore,
): { readonly bytes: number; readonly count: number } {
  let bytes = 0
  let count = 0
  for (const { digest, blob } of blobs) {
    for (let index = 0; index < chunkCount(blob.size); index++) {
      if (disk.has(digest, index)) continue
      bytes += chunkLength(blob.size, index)
      count++
    }
  }
  return { bytes, count }
}

/** Of missing chunks, up to the first that finds no room. */
function* rangesOf(
  blobs: readonly ChunkedBlob[],
  disk: DiskChunkStore,
  roomBytes: number,
): Generator<Range, void, void> {
  let left = roomBytes
  for (const of of blobs) {
    const { size } = of.blob
    const count = chunkCount(size)
    for (let first = 0; first < count;) {
      let end = first
      while (end < count && end - first < rangeChunks && !disk.has(of.digest, end)) {
        left -= unitHeaderBytes + chunkLength(size, end)
        if (left < 0) break
        end++
      }
      if (end > first) yield { of, first, end }
      if (left < 0) return
      first = Math.max(end, first + 1)
    }
  }
}
