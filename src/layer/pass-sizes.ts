import { chunkBytes } from '../blob/chunk-cache.js'
import type { Codec } from './codec.js'
import { downloadBytes } from './ordered-download.js'

/** Why these: docs/ARCHITECTURE.md, Decisions. */
const usual = {
  spacingBytes: 1 << 20,
  minimumCompressedBytes: 128 << 10,
  maximumSpanBytes: 4 << 20,
  checkpointBytes: 32 << 20,
  chunkBytes,
} as const

export type PassSizes = { readonly [size in keyof typeof usual]: number }

export const passSizes: { readonly [codec in Codec]: PassSizes } = {
  // Its points have windows, which are most of an index.
  gzip: { ...usual, spacingBytes: (1 << 20) + (128 << 10) },
  zstd: usual,
  none: { ...usual, maximumSpanBytes: usual.checkpointBytes },
}

/** Hashed in some 60 ms: what takes longer nobody waits for who has seen that the blob is the right one. */
export const lagBytes = 128 << 20

/** A span of the usual spacing fits in one slot. */
export const slotBytes = (1 << 20) + (256 << 10)
export const slotCount = 8
/** What lies between zeros that are not hashed yet, and checkpoints that wait for the hash (native/hash_lane.cc). */
const waitingBytes = 8 << 20
/** What a pass holds at most. */
export const passBytes = downloadBytes + slotCount * slotBytes + waitingBytes
