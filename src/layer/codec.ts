import { hasValidChecksum } from '../tar/header.js'
import { blockBytes } from '../tar/block.js'
import { RegistryFsError } from '../util/errors.js'

/** How a layer is compressed, as far as it can be read. The order is that of numbers in index files and journals. */
export const codecs = ['gzip', 'zstd', 'none'] as const
export type Codec = (typeof codecs)[number]

/** Bytes that `sniffCodec` wants to see, where the layer has so many. */
export const sniffBytes = 6

const sniffed: readonly (readonly [Codec | 'xz' | 'bzip2', string])[] = [
  ['gzip', '1f8b'],
  // RFC 8878: a frame; skippable frames (0x184D2A50 to 5F) may come before it.
  ['zstd', '28b52ffd'],
  ['zstd', '5.2a4d18'],
  ['xz', 'fd377a585a00'],
  ['bzip2', '425a68'],
]

/** By the first bytes, for media types lie. Throws UNSUPPORTED, with what the layer is, for what cannot be read. */
export function sniffCodec(bytes: Buffer, mediaType: string): Codec {
  refuseEncrypted(mediaType)
  // Its first name may begin like anything.
  if (bytes.length >= blockBytes && hasValidChecksum(bytes.subarray(0, blockBytes))) return 'none'
  const start = bytes.toString('hex', 0, sniffBytes)
  const found = sniffed.find(([, magic]) => new RegExp(`^${magic}`).test(start))?.[0] ?? 'none'
  if (found !== 'xz' && found !== 'bzip2') return found
  throw new RegistryFsError(
    'UNSUPPORTED',
    `the layer is compressed with ${found} (media type ${mediaType}), which cannot be read`,
  )
}

/** What is encrypted (ocicrypt) says so in its media type only. */
function refuseEncrypted(mediaType: string): void {
  if (!mediaType.endsWith('+encrypted')) return
  throw new RegistryFsError('UNSUPPORTED', `the layer is encrypted (media type ${mediaType})`)
}

/** Whether its media type says that a layer is compressed: then the first pass is as well begun at once. */
export function promisesCompression(mediaType: string): boolean {
  return /[+.](gzip|zstd)$/.test(mediaType)
}

/**
 * Whether these are the first bytes of a tar, the more of them the better: a header, or nothing but zeros. Disks and
 * ISO images may begin with zeros as well.
 */
export function looksLikeTar(bytes: Buffer): boolean {
  if (bytes.length < blockBytes) return bytes.every((byte) => byte === 0)
  if (hasValidChecksum(bytes.subarray(0, blockBytes))) return true
  return bytes.every((byte) => byte === 0)
}
