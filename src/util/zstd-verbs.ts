/** Null when all is well, else what is wrong, or what the verb gives. */
type ZstdCallback = (answer: string | readonly number[] | null) => void

/** The addon's (native/zstd_binding.h); src/zstd is their TypeScript face. */
export interface ZstdVerbs {
  decodeZstdSpan(
    request: { readonly input: Buffer; readonly skipBytes: number; readonly crc32: number | undefined },
    target: Buffer,
    done: ZstdCallback,
  ): void
  compressZstd(input: Buffer, target: Buffer, done: ZstdCallback): void
  openZstdStream(): (input: Buffer, target: Buffer, done: ZstdCallback) => void
}
