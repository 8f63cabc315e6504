/**
 * GNU's sparse files, in so far as they can be stepped over: old GNU (type S, a map in the header and in blocks that
 * follow it) and PAX 0.0, 0.1 and 1.0 (records, for 1.0 also a map at the start of the content). Reading them is a
 * later matter.
 */
import { corrupt } from './corrupt.js'
import { parseDecimal } from './numbers.js'
import type { PaxRecords } from './pax.js'

export const unsupportedSparse = 'a GNU sparse file'

/** Whether a block with more of the map follows the header of type S. */
export function hasMoreMap(header: Buffer): boolean {
  return header[482] !== 0
}

/** Whether yet another one follows this one. */
export function hasMoreMapAfter(mapBlock: Buffer): boolean {
  return mapBlock[504] !== 0
}

/** The name and the size that the file has outside of the tar; undefined: PAX says nothing of sparseness. */
export function paxSparse(
  records: PaxRecords,
  offset: number,
): { readonly name: Buffer | undefined; readonly realSize: number } | undefined {
  // 0.0 and 0.1 say `size`, 1.0 says `realsize`.
  const size = records.get('GNU.sparse.realsize') ?? records.get('GNU.sparse.size')
  if (size === undefined) {
    if (records.has('GNU.sparse.major') || records.has('GNU.sparse.map'))
      throw corrupt('a sparse file has no size', offset)
    return undefined
  }
  const realSize = parseDecimal(size, 'GNU.sparse.realsize', offset)
  if (realSize < 0) throw corrupt('a size is negative', offset)
  return { name: records.get('GNU.sparse.name'), realSize }
}
