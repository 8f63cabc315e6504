/** Null when all is well, else what is wrong, or what the verb gives. */
type ZstdCallback = (answer: string | readonly number[] | null) => void

/** Bytes that the addon reads from a file, all of `target`, before it looks at them. */
export interface FilePart {
  readonly path: string
  readonly offset: number
  /** A view of the buffer that they belong to. */
  readonly target: Buffer
}

export interface ZstdSpanRequest {
  readonly input: Buffer
  /** Of `input`, what is not there yet. */
  readonly files?: readonly FilePart[]
  readonly skipBytes: number
  readonly crc32: number | undefined
}

/** The addon's (native/zstd_binding.h); src/zstd is their TypeScript face. */
export interface ZstdVerbs {
  decodeZstdSpan(request: ZstdSpanRequest, target: Buffer, done: ZstdCallback): void
  compressZstd(input: Buffer, target: Buffer, done: ZstdCallback): void
  openZstdStream(): {
    decode(input: Buffer, target: Buffer, done: ZstdCallback): void
    close(): void
  }
}
