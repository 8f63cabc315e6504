import { odd, type TocEntry } from './toc-json.js'
import { longestKeptSpanBytes } from './span-builder.js'

export interface TocChunk {
  /** Where its bytes are in the contents of all files, one after another. */
  readonly uncompressedOffset: number
  readonly uncompressedLength: number
  /** In the blob: of the gzip member or zstd frame that holds it, and at the latest behind it. */
  readonly compressedOffset: number
  readonly compressedEnd: number
  /** Uncompressed bytes of that member before it. */
  readonly skipBytes: number
  readonly isZeros: boolean
  /** In hex; empty where it is zeros. */
  readonly sha256: string
}

/** What a decoder may need beyond the bytes that it makes: headers, checksums, a bad compressor. */
const slackBytes = 64 << 10

/**
 * The chunks of one file, which follow each other without gaps from 0 to its size. `endOf`: where the next
 * member or frame begins, or the table itself. Throws for anything else.
 */
export function chunksOf(
  entries: readonly TocEntry[],
  uncompressedOffset: number,
  endOf: (offset: number) => number,
): readonly TocChunk[] {
  const size = entries[0]?.size ?? 0
  const chunks: TocChunk[] = []
  let at = 0
  for (const entry of entries) {
    if (size === 0) continue
    const length = entry.chunkSize === 0 ? size - entry.chunkOffset : entry.chunkSize
    if (entry.chunkOffset !== at || length <= 0 || length > size - at) throw odd('chunks do not make a file')
    if (length > longestKeptSpanBytes || entry.innerOffset > longestKeptSpanBytes)
      throw odd('a chunk is too long')
    const isWhole = length === size
    const sha256 = entry.chunkDigest ?? (isWhole ? entry.digest : undefined)
    if (!entry.isZeros && (sha256 === undefined || entry.offset === 0))
      throw odd('a chunk has no digest or place')
    const most = entry.innerOffset + length
    chunks.push({
      uncompressedOffset: uncompressedOffset + at,
      uncompressedLength: length,
      compressedOffset: entry.offset,
      compressedEnd: entry.isZeros
        ? entry.offset
        : Math.min(endOf(entry.offset), entry.offset + most + (most >> 6) + slackBytes),
      skipBytes: entry.innerOffset,
      isZeros: entry.isZeros,
      sha256: sha256 ?? '',
    })
    at += length
  }
  if (at !== size) throw odd('chunks do not fill a file')
  return chunks
}
