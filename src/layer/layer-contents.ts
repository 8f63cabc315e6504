import type { LayerIndex } from './layer-index.js'
import { LayerTree } from './layer-tree.js'
import type { PassProgress } from './pass-progress.js'
import { SeekTable } from './seek-table.js'
import { MemoryWindows, type Windows } from './windows.js'
import { ZeroMap } from './zero-map.js'

/** sha256 that a chunk of the blob must have, as far as it is known. */
export type SealOf = (chunkIndex: number) => Buffer | undefined

/** All that is known of a layer once it was read: by a first pass, or from its index file. */
export interface LayerContents {
  readonly tree: LayerTree
  readonly spans: SeekTable
  readonly windows: Windows
  readonly zeros: ZeroMap
  readonly sealOf: SealOf
  readonly tarBytes: number
}

export function contentsOfIndex(index: LayerIndex): LayerContents {
  const { spans, windows, zeros, seals, tarBytes } = index
  const tree = LayerTree.of(index.members)
  return { tree, spans, windows, zeros, sealOf: (i) => seals.subarray(i * 32, i * 32 + 32), tarBytes }
}

export function contentsOfPass(progress: PassProgress, tarBytes: number): LayerContents {
  const { tree, spans, windows, zeros } = progress
  return { tree, spans, windows, zeros, sealOf: (index) => progress.sealOf(index), tarBytes }
}

/** Blobs of no bytes are served as layers by some registries, and mean that nothing changed. */
export function emptyContents(): LayerContents {
  const zeros = new ZeroMap()
  zeros.complete()
  return {
    tree: new LayerTree(),
    spans: new SeekTable(),
    windows: new MemoryWindows(),
    zeros,
    sealOf: () => undefined,
    tarBytes: 0,
  }
}
