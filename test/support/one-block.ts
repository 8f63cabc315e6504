import { crc32, deflateRawSync } from 'node:zlib'
import { sampleData } from './sample-data.js'

const windowBytes = 32_768
const matchBytes = 258

/** The distance codes of 4097 to 32768 have 11 to 13 more bits (RFC 1951 3.2.5). */
const distances = [24, 25, 26, 27, 28, 29].map((code, i) => ({
  code,
  base: [4097, 6145, 8193, 12_289, 16_385, 24_577][i] ?? 0,
  extraBits: 11 + (i >> 1),
}))

/**
 * A gzip of at least `bytes` in which all but the start lies in one deflate block: 32 KiB that are stored, then matches far
 * back, so that no two places of it are alike. `before` comes first, with blocks of its own.
 */
export function oneBlock(bytes: number, before: Buffer = Buffer.alloc(0)): { source: Buffer; blob: Buffer } {
  const matches = Math.ceil(bytes / matchBytes)
  const made = Buffer.alloc(windowBytes + matches * matchBytes)
  sampleData('random', windowBytes).copy(made)
  const bits = new BitWriter(matches * 4 + 16)
  bits.put(1 | (1 << 1), 3)
  let end = windowBytes
  for (let i = 0; i < matches; i++) {
    const { code, base, extraBits } = distances[i % distances.length] ?? {
      code: 24,
      base: 4097,
      extraBits: 11,
    }
    const extra = (i * 7919) & ((1 << extraBits) - 1)
    bits.code(0xc5, 8)
    bits.code(code, 5)
    bits.put(extra, extraBits)
    made.copy(made, end, end - base - extra, end - base - extra + matchBytes)
    end += matchBytes
  }
  bits.code(0, 7)
  const stored = Buffer.alloc(5)
  stored.writeUInt16LE(windowBytes, 1)
  stored.writeUInt16LE(windowBytes ^ 0xffff, 3)
  const source = Buffer.concat([before, made])
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc32(source), 0)
  trailer.writeUInt32LE(source.length, 4)
  const blob = Buffer.concat([
    Buffer.from('1f8b08000000000000ff', 'hex'),
    deflateRawSync(before, { finishFlush: 3 }),
    stored,
    made.subarray(0, windowBytes),
    bits.done(),
    trailer,
  ])
  return { source, blob }
}

class BitWriter {
  readonly #bytes: Buffer
  #bits = 0

  constructor(bytes: number) {
    this.#bytes = Buffer.alloc(bytes)
  }

  put(value: number, count: number): void {
    for (let i = 0; i < count; i++, this.#bits++) {
      const at = this.#bits >> 3
      this.#bytes[at] = (this.#bytes[at] ?? 0) | (((value >> i) & 1) << (this.#bits & 7))
    }
  }

  /** A Huffman code, whose first bit is its highest. */
  code(value: number, count: number): void {
    for (let i = count - 1; i >= 0; i--) this.put(value >> i, 1)
  }

  done(): Buffer {
    return this.#bytes.subarray(0, Math.ceil(this.#bits / 8))
  }
}
