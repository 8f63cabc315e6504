import { crc32 } from 'node:zlib'
import { RegistryFsError } from '../util/errors.js'

/**
 * Checked pieces of binary data, as the index file and the journal hold them:
 *
 *   0  u32 type   4  u32 payload bytes   8  u32 CRC-32 of type, length and payload   12  payload
 */
const sectionHeaderBytes = 12

export interface Section {
  readonly type: number
  readonly payload: Buffer
}

export function encodeSection(type: number, payload: Buffer): Buffer {
  const section = Buffer.allocUnsafe(sectionHeaderBytes + payload.length)
  section.writeUInt32LE(type, 0)
  section.writeUInt32LE(payload.length, 4)
  section.writeUInt32LE(crc32(payload, crc32(section.subarray(0, 8))), 8)
  payload.copy(section, sectionHeaderBytes)
  return section
}

/** The section at `offset` and where the next one starts; undefined at an incomplete or damaged one. */
export function decodeSection(bytes: Buffer, offset: number): { section: Section; next: number } | undefined {
  if (offset + sectionHeaderBytes > bytes.length) return undefined
  const length = bytes.readUInt32LE(offset + 4)
  const start = offset + sectionHeaderBytes
  if (length > bytes.length - start) return undefined
  const payload = bytes.subarray(start, start + length)
  if (crc32(payload, crc32(bytes.subarray(offset, offset + 8))) !== bytes.readUInt32LE(offset + 8))
    return undefined
  return { section: { type: bytes.readUInt32LE(offset), payload }, next: start + length }
}

/** Reads fixed-size fields of a payload in order; CORRUPT when it is too short or holds a number that makes no sense. */
export class FieldReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#offset
  }

  u8(): number {
    return this.#take(1).readUInt8(0)
  }

  u16(): number {
    return this.#take(2).readUInt16LE(0)
  }

  u32(): number {
    return this.#take(4).readUInt32LE(0)
  }

  /** A safe non-negative integer, stored as a double. */
  count(maximum = Number.MAX_SAFE_INTEGER): number {
    const value = this.#take(8).readDoubleLE(0)
    if (!Number.isSafeInteger(value) || value < 0 || value > maximum)
      throw this.#corrupt('a number is out of range')
    return value
  }

  bytes(length: number): Buffer {
    return this.#take(length)
  }

  #take(length: number): Buffer {
    if (length > this.left) throw this.#corrupt('a field is cut off')
    this.#offset += length
    return this.#bytes.subarray(this.#offset - length, this.#offset)
  }

  #corrupt(message: string): RegistryFsError {
    return new RegistryFsError('CORRUPT', `index: ${message}`)
  }
}

/** The other direction: collects fields into one payload. */
export class FieldWriter {
  readonly #parts: Buffer[] = []

  u8(value: number): this {
    return this.#fixed(1, (bytes) => bytes.writeUInt8(value))
  }

  u16(value: number): this {
    return this.#fixed(2, (bytes) => bytes.writeUInt16LE(value))
  }

  u32(value: number): this {
    return this.#fixed(4, (bytes) => bytes.writeUInt32LE(value))
  }

  count(value: number): this {
    return this.#fixed(8, (bytes) => bytes.writeDoubleLE(value))
  }

  bytes(value: Buffer): this {
    this.#parts.push(value)
    return this
  }

  done(): Buffer {
    return Buffer.concat(this.#parts)
  }

  #fixed(length: number, write: (bytes: Buffer) => void): this {
    const bytes = Buffer.alloc(length)
    write(bytes)
    return this.bytes(bytes)
  }
}
