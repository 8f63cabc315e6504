import { RegistryFsError } from '../util/errors.js'

/** Seven bits a byte, lowest first, the high bit on all but the last (LEB128); up to 2^53 - 1. */
const maximumVarintBytes = 8

export class VarintWriter {
  #bytes = Buffer.allocUnsafeSlow(256)
  #length = 0

  count(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RegistryFsError('INVALID', `no count: ${String(value)}`)
    this.#reserve(maximumVarintBytes)
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
    return this
  }

  /** Zigzag: small either way is short. */
  signed(value: number): this {
    return this.count(value < 0 ? -value * 2 - 1 : value * 2)
  }

  /** With their length before them. */
  bytes(value: Buffer): this {
    this.count(value.length)
    this.#reserve(value.length)
    value.copy(this.#bytes, this.#length)
    this.#length += value.length
    return this
  }

  get length(): number {
    return this.#length
  }

  clear(): void {
    this.#length = 0
  }

  /** What was written, at the start of more; until more is written. */
  get sofar(): Buffer {
    return this.#bytes
  }

  done(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #reserve(length: number): void {
    const needed = this.#length + length
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** CORRUPT when the bytes are over too early, or a number is out of bounds. */
export class VarintReader {
  readonly #bytes: Buffer
  readonly #what: string
  #offset = 0

  /** `what` the bytes are, for messages. */
  constructor(bytes: Buffer, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  count(maximum = Number.MAX_SAFE_INTEGER): number {
    let value = 0
    let unit = 1
    for (let i = 0; i < maximumVarintBytes; i++) {
      const byte = this.#bytes[this.#offset++]
      if (byte === undefined) throw this.#corrupt('they end too early')
      value += (byte & 0x7f) * unit
      if (byte < 0x80) {
        if (value > maximum) break
        return value
      }
      unit *= 0x80
    }
    throw this.#corrupt('a number is too large')
  }

  signed(): number {
    const value = this.count()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  /** A copy, so that it keeps nothing else in memory. */
  bytes(maximumLength: number): Buffer {
    const length = this.count(maximumLength)
    const start = this.#offset
    if (length > this.#bytes.length - start) throw this.#corrupt('they end too early')
    this.#offset = start + length
    return Buffer.from(this.#bytes.subarray(start, start + length))
  }

  /** In bytes. */
  get left(): number {
    return this.#bytes.length - this.#offset
  }

  get hasMore(): boolean {
    return this.#offset < this.#bytes.length
  }

  /** There must be no more. */
  end(): void {
    if (this.#offset !== this.#bytes.length) throw this.#corrupt('something follows them')
  }

  #corrupt(reason: string): RegistryFsError {
    return new RegistryFsError('CORRUPT', `${this.#what}: ${reason}`)
  }
}
