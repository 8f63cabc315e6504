const magics: readonly (readonly [string, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58]],
  ['bzip2', [0x42, 0x5a, 0x68]],
]

/** Bytes that `compressionOf` wants to see, where there are so many. */
export const magicBytes = 4

/** What a file is compressed with, by its first bytes; undefined when it is not, as far as they tell. */
export function compressionOf(start: Buffer): string | undefined {
  // RFC 8878: a skippable frame (0x184D2A50 to 5F) can come before the first.
  if ((start[0] ?? 0) >> 4 === 5 && start.subarray(1, 4).equals(Buffer.from([0x2a, 0x4d, 0x18])))
    return 'zstd'
  return magics.find(([, magic]) => magic.every((value, i) => start[i] === value))?.[0]
}
