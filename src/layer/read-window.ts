import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { RegistryFsError } from '../util/errors.js'
import { throwShortage } from '../util/unreadable.js'
import type { Span } from './seek-table.js'
import type { FileRange } from './windows.js'

/**
 * The window of a span from its index file. UNREADABLE where descriptors or memory are short, which is no reason to give up
 * an index that took a pass; CORRUPT where the disk does not give it, or not what was written: a new index lies elsewhere.
 */
export async function readWindow(
  { path, offset, length, crc32: expected }: FileRange,
  { uncompressedOffset }: Span,
): Promise<Buffer> {
  const window = Buffer.allocUnsafeSlow(length)
  const bytes = await readPart(path, offset, window).catch((error: unknown) => {
    throwShortage(error, `the index file ${path}`)
    return 0
  })
  if (bytes === length && crc32(window) === expected) return window
  throw new RegistryFsError('CORRUPT', 'gzip: the window of a span is damaged', {
    offset: uncompressedOffset,
  })
}

async function readPart(path: string, offset: number, target: Buffer): Promise<number> {
  const file = await open(path, 'r')
  try {
    return (await file.read(target, 0, target.length, offset)).bytesRead
  } finally {
    await file.close()
  }
}
