import { crc32 } from '../native.js'
import { digestAlgorithm, digestHex, type Digest } from '../util/digest.js'
import { zeros } from './zeros.js'

/** One file of a layer, by where its content begins in the layer's tar. */
export interface MemberPlace {
  readonly layer: Digest
  readonly offset: number
  /** Its own, holes included. */
  readonly size: number
}

export function memberKey({ layer, offset, size }: MemberPlace): string {
  return `${layer}:${String(offset)}-${String(size)}`
}

/** So much has a checksum of its own: what the smallest read of it costs the first time. */
export const sumBlockBytes = 128 << 10

/** A file of so many blocks has sums of 8 MiB, which are in memory while it is open. */
export const largestMemberBytes = 256 * 2 ** 30

/**
 * The checksums of a member that was kept as a file, in a file beside it, for that one has nothing but the content:
 *
 *   0  magic 'RFSM'   4 version   8 offset   16 size   24 bytes of a block   28 length of the digest
 *   32 the layer's digest   then CRC-32 of each block   then CRC-32 of all before
 */
const magic = 0x4d534652
const version = 1
const headerBytes = 32

export function encodeSums(place: MemberPlace, sums: Uint32Array): Buffer {
  const digest = Buffer.from(`${digestAlgorithm(place.layer)}:${digestHex(place.layer)}`)
  const bytes = Buffer.alloc(headerBytes + digest.length + 4 * sums.length + 4)
  bytes.writeUInt32LE(magic, 0)
  bytes.writeUInt32LE(version, 4)
  bytes.writeBigUInt64LE(BigInt(place.offset), 8)
  bytes.writeBigUInt64LE(BigInt(place.size), 16)
  bytes.writeUInt32LE(sumBlockBytes, 24)
  bytes.writeUInt32LE(digest.length, 28)
  digest.copy(bytes, headerBytes)
  const start = headerBytes + digest.length
  sums.forEach((sum, i) => bytes.writeUInt32LE(sum, start + 4 * i))
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

/** Undefined: they are not those of this member, or not whole. */
export function decodeSums(bytes: Buffer, place: MemberPlace): Uint32Array | undefined {
  const empty = encodeSums(place, new Uint32Array())
  const start = empty.length - 4
  const count = blocksOf(place.size)
  if (bytes.length !== start + 4 * count + 4 || !bytes.subarray(0, start).equals(empty.subarray(0, start)))
    return undefined
  if (bytes.readUInt32LE(bytes.length - 4) !== crc32(bytes.subarray(0, -4))) return undefined
  return Uint32Array.from({ length: count }, (_, i) => bytes.readUInt32LE(start + 4 * i))
}

export function blocksOf(bytes: number): number {
  return Math.ceil(bytes / sumBlockBytes)
}

let sumOfZeros: number | undefined

/** Of a block of so many zeros. */
export function zeroSum(bytes: number): number {
  if (bytes !== sumBlockBytes) return crc32(zeros(bytes))
  return (sumOfZeros ??= crc32(zeros(sumBlockBytes)))
}
