import { constants, crc32, deflateRawSync } from 'node:zlib'
import { combinedCrc32 } from './combined-crc32.js'

const flushed = { finishFlush: constants.Z_FULL_FLUSH }
const gzipHeader = Buffer.from('1f8b08000000000000ff', 'hex')

interface Deflated {
  readonly bytes: Buffer
  readonly crc32: number
  readonly length: number
}

/** gzip with a full flush after each part: what is there many times is deflated once, so that many GiB take seconds. */
export class GzipWriter {
  readonly #parts: Buffer[] = [gzipHeader]
  /** By their number of bytes, a power of two. */
  readonly #zeros = new Map<number, Deflated>()
  #crc32 = 0
  #length = 0

  add(bytes: Buffer, times = 1): void {
    const deflated = {
      bytes: deflateRawSync(bytes, { ...flushed, level: 1 }),
      crc32: crc32(bytes),
      length: bytes.length,
    }
    for (let i = 0; i < times; i++) this.#put(deflated)
  }

  addZeros(length: number): void {
    for (let unit = 64 << 20, left = length; left > 0; unit /= 2) {
      for (; left >= unit; left -= unit) this.#put(this.#zerosOf(unit))
    }
  }

  /** All of it. */
  end(last: Buffer): Buffer {
    this.#put({ bytes: deflateRawSync(last), crc32: crc32(last), length: last.length })
    const trailer = Buffer.alloc(8)
    trailer.writeUInt32LE(this.#crc32, 0)
    trailer.writeUInt32LE(this.#length % 2 ** 32, 4)
    return Buffer.concat([...this.#parts, trailer])
  }

  #put(part: Deflated): void {
    this.#parts.push(part.bytes)
    this.#crc32 = combinedCrc32(this.#crc32, part.crc32, part.length)
    this.#length += part.length
  }

  #zerosOf(length: number): Deflated {
    const known = this.#zeros.get(length)
    if (known !== undefined) return known
    const zeros = Buffer.alloc(length)
    const made = { bytes: deflateRawSync(zeros, flushed), crc32: crc32(zeros), length }
    this.#zeros.set(length, made)
    return made
  }
}
