import type { ReadOptions } from '../util/abort.js'

/** The uncompressed bytes of a layer as its codec gives them: what can be had now, and what takes fetching or decoding. */
export interface TarSource {
  /** Spans decoded for readers so far. */
  readonly inflated: number
  /** Fills the start of `target` from `offset` with what is in memory: how much, 0 when that is nothing. */
  findSome(offset: number, target: Buffer): number
  /** Whether `readSome` would fill anything. */
  covers(offset: number): boolean
  /** Fills the start of `target` from `offset`: resolves to how much, at least one byte; 0 where it does not reach. */
  readSome(offset: number, target: Buffer, options: ReadOptions): Promise<number>
}
