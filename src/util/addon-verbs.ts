/** Null when all is well, else what is wrong, or what the verb gives. */
type VerbCallback = (answer: string | readonly number[] | null) => void

/** Null when all is well, else what is wrong, or the errno of a file that could not be read: ENODATA where it is too short. */
export type SpanCallback = (answer: string | number | null) => void

/** Bytes that the addon reads from a file, all of `target`, before it looks at them. */
export interface FilePart {
  readonly path: string
  readonly offset: number
  /** A view of the buffer that they belong to. */
  readonly target: Buffer
}

export interface SpanRequest {
  /** Compressed bytes; the first one holds the first bit. */
  readonly input: Buffer
  /** Of `input` and `window`, what is not there yet: read on the thread that inflates, for each hop to another one costs. */
  readonly files?: readonly FilePart[]
  /** 0 to 7: bits of input[0] that belong to the block before. */
  readonly bitOffset: number
  readonly atHeader: boolean
  readonly window: Buffer
  readonly windowLength: number
  /** Uncompressed bytes to throw away first: only spans longer than the caller's largest buffer are read in pieces. */
  readonly skipBytes: number
  /** Uncompressed bytes to return. */
  readonly lengthBytes: number
  /** Inflated by Node's zlib, not by our own decoder. */
  readonly zlib?: boolean
  /** Checked when the whole span was asked for (skipBytes 0); undefined: unchecked. */
  readonly crc32: number | undefined
}

export interface ZstdSpanRequest {
  readonly input: Buffer
  /** Of `input`, what is not there yet. */
  readonly files?: readonly FilePart[]
  readonly skipBytes: number
  readonly crc32: number | undefined
}

/** Where a stream begins (see SpanRequest). */
export type SpanStreamRequest = Pick<SpanRequest, 'bitOffset' | 'atHeader' | 'window' | 'windowLength'> & {
  readonly zlib: boolean
}

/** The addon's (native/span_stream_binding.h); src/layer/span-stream.ts is their TypeScript face. */
export interface SpanVerbs {
  openSpanStream(): {
    begin(request: SpanStreamRequest, done: VerbCallback): void
    decode(input: Buffer, skipBytes: number, target: Buffer, done: VerbCallback): void
    close(): void
  }
}

/** The addon's (native/zstd_binding.h); src/zstd is their TypeScript face. */
export interface ZstdVerbs {
  decodeZstdSpan(request: ZstdSpanRequest, target: Buffer, done: SpanCallback): void
  compressZstd(input: Buffer, target: Buffer, done: VerbCallback): void
  openZstdStream(): {
    decode(input: Buffer, target: Buffer, done: VerbCallback): void
    close(): void
  }
}
