import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { RegistryFsError } from '../util/errors.js'
import { codeOf, isShortage, unreadable } from '../util/unreadable.js'
import type { Span } from './seek-table.js'
import type { FileRange } from './windows.js'

/**
 * The window of a span from its index file. UNREADABLE where descriptors or memory are short or the disk fails, which is
 * no reason to give up an index that took a pass; CORRUPT where it is not there or not what was written.
 */
export async function readWindow(
  { path, offset, length, crc32: expected }: FileRange,
  { uncompressedOffset }: Span,
): Promise<Buffer> {
  const window = Buffer.allocUnsafeSlow(length)
  const bytes = await readPart(path, offset, window).catch((error: unknown) => {
    if (isShortage(error) || codeOf(error) === 'EIO') throw unreadable(error, `the index file ${path}`)
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
