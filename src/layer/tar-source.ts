import type { ReadOptions } from '../util/abort.js'

/** The uncompressed bytes of a layer as its codec gives them: what can be had now, and what takes fetching or decoding. */
export interface TarSource {
  /** Up to `length` bytes from `offset`, those that are in memory in one piece; good until anything is awaited. */
  peekSome(offset: number, length: number): Buffer | undefined
  /** Whether `readSome` would fill anything. */
  covers(offset: number): boolean
  /** Fills the start of `target` from `offset`: resolves to how much, at least one byte; 0 where it does not reach. */
  readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number>
  /**
   * Brings what lies at `offset` to where `peekSome` finds it, and what is behind it as far as `length` if it likes; false
   * when it cannot stay there. Absent: never.
   */
  load?(offset: number, length: number, options: ReadOptions): Promise<boolean>
  /** What it was opened from is gone: what was not decoded before cannot be. Absent: that cannot happen. */
  readonly isLost?: boolean
  /** It is of no use any more: nothing that it still decodes is to be kept. Absent: it keeps nothing. */
  retire?(): void
  /** Somebody has read from the span at `offset`, which was published. Absent: nothing of it is. */
  touch?(offset: number): void
}
