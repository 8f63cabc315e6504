/** RFC 8878 3.1.1: magic number, descriptor, window descriptor, dictionary ID, content size. */
export const frameHeaderBytes = 18

const magic = 0xfd2fb528
const sizeBytes = [0, 2, 4, 8]
const idBytes = [0, 1, 2, 4]

/** What a frame needs of what was decoded before, by the start of its header; undefined for what is no frame. */
export function frameWindowBytes(header: Buffer): number | undefined {
  if (header.length < 6 || header.readUInt32LE(0) !== magic) return undefined
  const descriptor = header.readUInt8(4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  if (!isSingleSegment) {
    const window = header.readUInt8(5)
    const base = 2 ** (10 + (window >> 3))
    return base + (base / 8) * (window & 7)
  }
  // The window is the whole content.
  const bytes = descriptor >> 6 === 0 ? 1 : (sizeBytes[descriptor >> 6] ?? 8)
  const offset = 5 + (idBytes[descriptor & 3] ?? 4)
  if (header.length < offset + bytes) return undefined
  if (bytes === 8) return Number(header.readBigUInt64LE(offset))
  return header.readUIntLE(offset, bytes) + (bytes === 2 ? 256 : 0)
}
