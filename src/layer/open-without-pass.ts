import type { DiffId } from '../util/digest.js'
import type { Logger } from '../util/log.js'
import { promisesCompression } from './codec.js'
import type { HeaderWalk } from './header-walk.js'
import { emptyContents, type LayerBytes, type LayerContents } from './layer-contents.js'
import { openPlain } from './plain-layer.js'
import { openTableOfContents } from './table-of-contents.js'

/**
 * What needs no first pass: no bytes at all, a table of contents, a tar that is not compressed. Undefined: it needs one.
 * `isTar`: somebody was told where members lie in the tar, and in a table of contents they lie elsewhere.
 */
export async function openWithoutPass(
  bytes: LayerBytes,
  diffId: () => Promise<DiffId | undefined>,
  isTar: boolean,
  signal: AbortSignal,
  log: Logger,
): Promise<HeaderWalk | LayerContents | undefined> {
  const { descriptor } = bytes
  if (descriptor.size === 0) return emptyContents(descriptor.digest, await diffId())
  const listed = isTar ? undefined : await openTableOfContents(bytes, signal, log)
  if (listed !== undefined || promisesCompression(descriptor.mediaType)) return listed
  return openPlain(bytes, signal)
}
