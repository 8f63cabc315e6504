import { RegistryFsError } from '../util/errors.js'

/** How a layer is compressed, by its first bytes: media types lie. */
export type Codec = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'none'

/** Bytes that `sniffCodec` wants to see, where the layer has so many. */
export const sniffBytes = 6

export function sniffCodec(bytes: Buffer): Codec {
  const starts = (...magic: readonly number[]): boolean => magic.every((value, i) => bytes[i] === value)
  if (starts(0x1f, 0x8b)) return 'gzip'
  // RFC 8878: a frame, or a skippable frame (0x184D2A50 to 5F) before it.
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd'
  if ((bytes[0] ?? 0) >> 4 === 5 && bytes.subarray(1, 4).equals(Buffer.from([0x2a, 0x4d, 0x18])))
    return 'zstd'
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz'
  if (starts(0x42, 0x5a, 0x68)) return 'bzip2'
  return 'none'
}

/** Throws UNSUPPORTED, with what the layer is, for all that the first pass cannot read. */
export function requireGzip(bytes: Buffer, mediaType: string): void {
  const codec = sniffCodec(bytes)
  if (codec === 'gzip') return
  const what = codec === 'none' ? 'not compressed with gzip' : `compressed with ${codec}`
  throw new RegistryFsError(
    'UNSUPPORTED',
    `the layer is ${what} (media type ${mediaType}): only gzip layers can be read`,
  )
}
