import { CachedSource } from '../blob/cached-source.js'
import type { TarMember } from '../tar/member.js'
import { isBookkeeping } from './bookkeeping.js'
import type { LayerBytes, LayerContents } from './layer-contents.js'
import { LayerTree } from './layer-tree.js'
import { chunksOf, type TocChunk } from './toc-chunks.js'
import { odd, parseToc, type TocEntry } from './toc-json.js'
import { TocSource } from './toc-source.js'
import { ZeroMap } from './zero-map.js'

/**
 * A layer as its table of contents has it. The table does not say where members lie in the tar, so the contents of
 * all files, one after another, take the tar's place; offsets of members are offsets there. `end`: where in the blob
 * the content ends at the latest. Throws for a table that does not hold together.
 */
export function contentsOfToc(
  text: string,
  codec: 'gzip' | 'zstd',
  end: number,
  { descriptor, blob, cache, inflations, zlib }: LayerBytes,
): LayerContents {
  const entries = parseToc(text)
  const endOf = nextOffsets(entries, end)
  const tree = new LayerTree()
  const chunks: TocChunk[] = []
  let tarBytes = 0
  for (let i = 0; i < entries.length;) {
    const entry = entries[i] as TocEntry
    if (entry.type === 'chunk') throw odd('a chunk has no file')
    let next = i + 1
    while (entries[next]?.type === 'chunk' && entries[next]?.name === entry.name) next++
    if (entry.type === 'file')
      for (const chunk of chunksOf(entries.slice(i, next), tarBytes, endOf)) chunks.push(chunk)
    const member = memberOf(entry, entry.type, tarBytes)
    if (!isBookkeeping(member)) tree.add(member)
    tarBytes += entry.size
    if (!Number.isSafeInteger(tarBytes)) throw odd('it is too large')
    i = next
  }
  tree.finish()
  const zeros = new ZeroMap()
  zeros.complete()
  const { digest } = descriptor
  const compressed = new CachedSource(digest, blob, cache, () => undefined)
  const memory = cache.memory
  const source = new TocSource({ digest, codec, chunks, compressed, memory, inflations, zlib })
  return { tree, source, zeros, tarBytes, seekPoints: chunks.length, isProven: true }
}

/** The next larger offset that any entry has. Throws when one lies outside. */
function nextOffsets(entries: readonly TocEntry[], end: number): (offset: number) => number {
  const offsets = Float64Array.from(new Set(entries.map(({ offset }) => offset))).sort()
  if ((offsets.at(-1) ?? 0) >= end) throw odd('it points outside of the blob')
  const next = new Map<number, number>()
  offsets.forEach((offset, i) => next.set(offset, offsets[i + 1] ?? end))
  return (offset) => next.get(offset) ?? end
}

function memberOf(entry: TocEntry, type: TarMember['type'], dataOffset: number): TarMember {
  return {
    name: Buffer.from(entry.name),
    type,
    linkName: Buffer.from(entry.linkName),
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    mtimeSeconds: entry.mtimeSeconds,
    mtimeNanoseconds: entry.mtimeNanoseconds,
    deviceMajor: entry.deviceMajor,
    deviceMinor: entry.deviceMinor,
    headerOffset: dataOffset,
    dataOffset,
    xattrs: entry.xattrs,
    sparse: undefined,
    unsupported: undefined,
  }
}
