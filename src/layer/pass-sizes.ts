import { chunkBytes } from '../blob/chunk-cache.js'
import { downloadBytes } from './ordered-download.js'

/** Why these: docs/ARCHITECTURE.md, Decisions. */
export const passSizes = {
  spacingBytes: 1 << 20,
  minimumCompressedBytes: 128 << 10,
  maximumSpanBytes: 4 << 20,
  checkpointBytes: 32 << 20,
  chunkBytes,
} as const
/** A span of the usual spacing fits in one slot. */
export const slotBytes = (1 << 20) + (256 << 10)
export const slotCount = 8
/** What a pass holds at most. */
export const passBytes = downloadBytes + slotCount * slotBytes
