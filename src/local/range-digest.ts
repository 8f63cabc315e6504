import { createHash } from 'node:crypto'
import type { Digest } from '../util/digest.js'
import type { FileRange } from './file-tree.js'

const readBytes = 1 << 20

/** Reads all of it. */
export async function rangeDigest({ file, offset, size }: FileRange): Promise<Digest> {
  const hash = createHash('sha256')
  for (let at = 0; at < size;) {
    const bytes = Buffer.allocUnsafe(Math.min(readBytes, size - at))
    await file.readInto(offset + at, bytes)
    hash.update(bytes)
    at += bytes.length
  }
  return `sha256:${hash.digest('hex')}` as Digest
}
