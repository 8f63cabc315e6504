/** What a pass of the addon (native/pass_binding.h) takes and tells. */

/** A place where inflation can start, and the uncompressed bytes from there to the next such place. */
export interface SpanEvent {
  readonly kind: 'span'
  /** In the blob, of the first bit of the deflate block (or of the gzip member's header, byte aligned, where `atHeader`). */
  readonly compressedBitOffset: number
  /**
   * In the blob, where the next span starts; for the last one the end of the last gzip member's trailer. Where much follows
   * that makes no output it is the end of what made some.
   */
  readonly compressedBitEnd: number
  readonly uncompressedOffset: number
  readonly uncompressedLength: number
  /** CRC-32 of the span's uncompressed bytes. */
  readonly crc32: number
  /** Raw deflate of the sparse window (native/sparse_window.h; what the span never refers to is 0, leading zeros are cut off); empty when windowLength is 0. */
  readonly window: Buffer
  /** Uncompressed bytes of `window`, at most 32768; they end where the span begins. */
  readonly windowLength: number
  /** The span begins with a gzip member header, so that no window is needed. */
  readonly atHeader: boolean
  /** Every uncompressed byte is 0. */
  readonly zero: boolean
}

/**
 * Runs of zeros: whole 512-byte blocks of the tar, at least 4096 bytes each. In order with the blocks, and before the one
 * in which they lie; a run that goes on in the next block is reported in pieces without a gap.
 */
export interface ZerosEvent {
  readonly kind: 'zeros'
  /** Uncompressed offset and length of one after another. */
  readonly runs: Float64Array
}

/**
 * `length` uncompressed bytes lie at the start of slots[slot], until releaseSlot(slot); zeros lie nowhere, and their slot
 * is -1. In order, without gaps.
 */
export interface BlockEvent {
  readonly kind: 'block'
  readonly slot: number
  readonly length: number
  readonly uncompressedOffset: number
  /** Every byte is 0. */
  readonly zero: boolean
}

/** In order with the blocks: a seek point lies exactly here; blocks never cross one. A checkpoint event for it may follow later. */
export interface CutEvent {
  readonly kind: 'cut'
  /** The span that begins here can be decoded from its own first byte. */
  readonly atHeader: boolean
  readonly uncompressedOffset: number
}

/** Everything a new pass needs in order to continue at a seek point. Comes after all spans and chunks before it. */
export interface CheckpointEvent {
  readonly kind: 'checkpoint'
  readonly uncompressedOffset: number
  readonly compressedBitOffset: number
  /** Opaque, versioned by the addon: hash states of blob and tar, the running gzip member's CRC-32 and size, the window. */
  readonly state: Buffer
}

/** One chunk of the blob was hashed: in order, without gaps. `seal`: see chunkSeal. */
export interface ChunkEvent {
  readonly kind: 'chunk'
  readonly index: number
  readonly seal: Buffer
}

/** All input up to here was inflated and hashed: those buffers may be reused. */
export interface ConsumedEvent {
  readonly kind: 'consumed'
  readonly compressedBytes: number
}

/**
 * All blocks were told and the blob was hashed, but hashing the tar is `lagBytes` of zeros behind, which takes a while. Spans
 * and checkpoints may still follow, and `end` does.
 */
export interface BlobEvent {
  readonly kind: 'blob'
  readonly blobSha256: Buffer
  readonly blobSha512?: Buffer
  readonly uncompressedBytes: number
}

export interface EndEvent {
  readonly kind: 'end'
  readonly blobSha256: Buffer
  readonly tarSha256: Buffer
  /** Where the options ask for them. */
  readonly blobSha512?: Buffer
  readonly tarSha512?: Buffer
  readonly compressedBytes: number
  readonly uncompressedBytes: number
  /** CPU time of the thread that inflated, without hashes and windows, which are others' work. */
  readonly decodeSeconds: number
}

/** The pass is over. `corrupt`: the data is wrong (truncated, bad code, CRC-32 or ISIZE mismatch); `limit`: too large a window; `internal`: out of memory and the like. */
export interface FailureEvent {
  readonly kind: 'failure'
  readonly reason: 'corrupt' | 'internal' | 'limit'
  readonly message: string
  readonly compressedOffset: number
  readonly uncompressedOffset: number
}

export type PassEvent =
  | SpanEvent
  | ZerosEvent
  | BlockEvent
  | CutEvent
  | CheckpointEvent
  | ChunkEvent
  | ConsumedEvent
  | BlobEvent
  | EndEvent
  | FailureEvent

export interface PassOptions {
  /** gzip unless told. */
  readonly codec?: 'gzip' | 'zstd' | 'none'
  /** gzip is inflated by Node's zlib, not by our own decoder. */
  readonly zlib?: boolean
  /** Of blob and tar, beside sha256; then there are no checkpoints. */
  readonly sha512?: boolean
  /** A seek point comes at the first deflate block boundary after this much output and `minimumCompressedBytes` of input ... */
  readonly spacingBytes: number
  readonly minimumCompressedBytes: number
  /** ... or at the first one after this much output, whatever the input. */
  readonly maximumSpanBytes: number
  /** A checkpoint comes at the first seek point after this much output since the last one. */
  readonly checkpointBytes: number
  /** A multiple of 64. */
  readonly chunkBytes: number
  /** See BlobEvent; without, there is none. */
  readonly lagBytes?: number
  /** From `allocateSlots`, lent until close: whoever changes them changes what is inflated next. */
  readonly slots: readonly Buffer[]
  /** A CheckpointEvent's; then the first pushed byte must be the one that holds bit `compressedBitOffset`. */
  readonly resume?:
    | { readonly compressedBitOffset: number; readonly uncompressedOffset: number; readonly state: Buffer }
    | undefined
  /** Called on the main thread, in order, several at a time. Never called again after `end`, `failure` or close(). */
  readonly onEvents: (events: readonly PassEvent[]) => void
}

/** The inflate, hash and window threads of one first pass over a blob. */
export interface InflatePass {
  /** Appends input; the buffer is pinned, and must not change, until a ConsumedEvent covers it. */
  push(input: Buffer): void
  /** No more input will come. */
  finish(): void
  releaseSlot(slot: number): void
  /** What the decoder holds beside the slots: the window that a zstd frame asks for. */
  decoderBytes(): number
  /** Stops the threads and waits for them (at most some ms of work); safe to call at any time, more than once. */
  close(): void
}
