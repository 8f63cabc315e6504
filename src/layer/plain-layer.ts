import { CachedSource } from '../blob/cached-source.js'
import { chunkBytes } from '../blob/chunk-cache.js'
import { looksLikeTar, sniffCodec } from './codec.js'
import { HeaderWalk } from './header-walk.js'
import type { LayerBytes, LayerContents } from './layer-contents.js'
import { LayerTree } from './layer-tree.js'
import { PlainSource } from './plain-source.js'
import { wholeMember } from './whole-member.js'
import { ZeroMap } from './zero-map.js'

/**
 * A layer that is not compressed, by its first chunk: a tar whose headers are to be walked, or all there is to know of
 * something that is no tar. Undefined when it is compressed after all. Nothing of it is proven: only its whole is
 * what the digest speaks of, and nobody has read that.
 */
export async function openPlain(
  { descriptor, blob, cache }: LayerBytes,
  signal: AbortSignal,
): Promise<HeaderWalk | LayerContents | undefined> {
  const source = new CachedSource(descriptor.digest, blob, cache, () => undefined)
  const start = await source.read(0, chunkBytes, { signal })
  if (sniffCodec(start, descriptor.mediaType) !== 'none') return undefined
  if (looksLikeTar(start)) return new HeaderWalk(source, signal)
  const tree = new LayerTree()
  tree.add(wholeMember(descriptor, descriptor.size, false))
  tree.finish()
  const zeros = new ZeroMap()
  zeros.complete()
  const tarBytes = descriptor.size
  return { tree, source: new PlainSource(source, zeros), zeros, tarBytes, seekPoints: 0, isProven: false }
}
