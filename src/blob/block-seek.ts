import { setImmediate as nextTurn } from 'node:timers/promises'
import { throwIfAborted, type ReadOptions } from '../util/abort.js'
import { fileBlockBytes } from '../util/file-block.js'
import { seekSource } from './seek.js'
import type { ByteSource, Whence } from './source.js'

/** A layer may be made of a million runs of zeros without a whole block: others have their turn meanwhile. */
const triesInOneTurn = 1000

/**
 * lseek(2) as file systems answer it, in whole blocks of the file: a block with any data in it is data. What a source
 * calls holes lies where the layer's tar has them, and qemu without a page cache aborts at an extent that is no multiple
 * of st_blksize. The end of the file is a hole; `source.size` where nothing else follows. Errors: those of the source.
 */
export async function seekBlocks(
  source: ByteSource,
  whence: Whence,
  offset: number,
  options: ReadOptions = {},
): Promise<number> {
  const { size } = source
  const first = offset - (offset % fileBlockBytes)
  if (whence === 'data') {
    const data = await seekSource(source, 'data', first, size, options)
    return data >= size ? size : Math.max(offset, data - (data % fileBlockBytes))
  }
  for (let at = first, tries = 1; ; tries++) {
    const hole = await seekSource(source, 'hole', at, size, options)
    const start = Math.ceil(hole / fileBlockBytes) * fileBlockBytes
    if (start >= size) return size
    const end = Math.min(start + fileBlockBytes, size)
    at = await seekSource(source, 'data', hole, end, options)
    if (at >= end) return Math.max(offset, start)
    if (tries % triesInOneTurn !== 0) continue
    await nextTurn()
    throwIfAborted(options.signal)
  }
}
