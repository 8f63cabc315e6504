import type { ReadOptions } from '../util/abort.js'
import type { ByteSource, Whence } from './source.js'

/** ByteSource#seek of any source: one that knows of no holes is all data. */
export async function seekSource(
  source: ByteSource,
  whence: Whence,
  offset: number,
  end: number,
  options?: ReadOptions,
): Promise<number> {
  if (offset >= end) return end
  if (source.seek === undefined) return whence === 'data' ? offset : end
  return source.seek(whence, offset, end, options)
}
