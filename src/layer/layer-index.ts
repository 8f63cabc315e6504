import type { Digest, DiffId } from '../util/digest.js'
import type { Codec } from './codec.js'
import type { MemberTable } from './member-table.js'
import type { SeekTable } from './seek-table.js'
import type { Windows } from './windows.js'
import type { ZeroMap } from './zero-map.js'

/** What a finished first pass knows of a layer. */
export interface LayerIndex {
  readonly digest: Digest
  readonly codec: Codec
  readonly blobBytes: number
  /** Proven: sha256 of the uncompressed tar. */
  readonly diffId: DiffId
  readonly tarBytes: number
  readonly spans: SeekTable
  readonly windows: Windows
  readonly zeros: ZeroMap
  /** In the order of the tar. */
  readonly members: MemberTable
  /** 32 bytes for each chunk of the blob (native.ts, chunkSeal). */
  readonly seals: Buffer
}
