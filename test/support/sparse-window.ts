import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { VarintReader, VarintWriter } from '../../src/layer/varints.js'

/** Windows as native/sparse_window.h packs them, in one run. */
export function packedWindow(window: Buffer): Buffer {
  const runs = new VarintWriter().count(1).count(0).count(window.length).done()
  return deflateRawSync(Buffer.concat([runs, window]))
}

export function unpackedWindow(packed: Buffer, length: number): Buffer {
  const bytes = inflateRawSync(packed)
  const reader = new VarintReader(bytes, 'window')
  const runs = Array.from({ length: reader.count() }, () => ({ gap: reader.count(), length: reader.count() }))
  const window = Buffer.alloc(length)
  let at = 0
  let from = bytes.length - reader.left
  for (const run of runs) {
    at += run.gap
    bytes.copy(window, at, from, from + run.length)
    at += run.length
    from += run.length
  }
  return window
}
