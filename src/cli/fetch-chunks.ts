import type { Unkept } from '../blob/missing-chunks.js'
import type { Image } from '../image/image.js'
import { formatReference } from '../registry/reference.js'
import type { Digest } from '../util/digest.js'
import { formatBytes } from '../util/range.js'
import type { CommandCore } from './core-options.js'
import { startProgress } from './progress.js'
import { tell } from './tell.js'

/**
 * Fetches what the disk lacks of an image that was read, and says on stderr where not all of it can be kept. `kept`: what
 * the same command has fetched before; this image's layers are added. Resolves to how many bytes are not kept; of no more
 * than `toldBytes` nothing is said.
 */
export async function fetchChunks(
  core: CommandCore,
  image: Image,
  kept: Set<Digest>,
  signal: AbortSignal,
  toldBytes = 0,
): Promise<number> {
  const name = formatReference(image.reference)
  for (const { digest } of image.manifest.layers) kept.add(digest)
  const progress = await startProgress(name)
  let unkept: Unkept | undefined
  try {
    const onProgress = (doneBytes: number, totalBytes: number): void => {
      progress.update(doneBytes, totalBytes)
    }
    unkept = await image.fetchMissing({ kept, signal, onProgress })
  } finally {
    progress.stop()
  }
  if (unkept === undefined || unkept.bytes <= toldBytes) return unkept?.bytes ?? 0
  const reason = await reasonOf(core, unkept)
  tell(`${name}: ${formatBytes(unkept.bytes)} of its chunks are not kept: ${reason}`)
  return unkept.bytes
}

async function reasonOf(core: CommandCore, { bound }: Unkept): Promise<string> {
  const full = 'the disk has no more free space than the reserve (--free-reserve)'
  if (bound === 'cap') return 'there is no room for more of them (--cache-size)'
  if (bound === 'reserve') return full
  const { cache } = await core.status()
  return cache.diskError ?? 'the disk took none for a while'
}
