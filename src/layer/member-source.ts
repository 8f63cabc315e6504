import { clampLength, type ByteSource } from '../blob/source.js'
import type { Layer } from './layer.js'

/** A member's bytes: the part of a layer's tar that follows its header. */
export function memberSource(layer: Layer, dataOffset: number, size: number): ByteSource {
  return {
    size,
    read: async (offset, length, options) => {
      const wanted = clampLength(size, offset, length)
      return wanted === 0 ? Buffer.alloc(0) : layer.read(dataOffset + offset, wanted, options)
    },
  }
}
