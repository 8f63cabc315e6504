import { crc32 } from '../native.js'
import { digestHex, type Digest } from '../util/digest.js'

/**
 * A unit file of the disk cache: one chunk of one blob, with what proves that it is this chunk and whole.
 *
 *   0  magic 'RFSC'   4 version   8 chunk index   12 payload bytes   16 CRC-32 of the payload
 *   20 first 12 bytes of the blob's digest        32 payload
 */
const magic = 0x43534652
const version = 1
export const unitHeaderBytes = 32

export function encodeUnitHeader(digest: Digest, index: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(unitHeaderBytes)
  header.writeUInt32LE(magic, 0)
  header.writeUInt32LE(version, 4)
  header.writeUInt32LE(index, 8)
  header.writeUInt32LE(payload.length, 12)
  header.writeUInt32LE(crc32(payload), 16)
  header.write(digestHex(digest), 20, 12, 'hex')
  return header
}

/** The payload of a unit file, a view; undefined when it is not exactly this chunk of this length. */
export function decodeUnit(
  unit: Buffer,
  digest: Digest,
  index: number,
  payloadBytes: number,
): Buffer | undefined {
  if (unit.length !== unitHeaderBytes + payloadBytes) return undefined
  const payload = unit.subarray(unitHeaderBytes)
  if (
    unit.readUInt32LE(0) !== magic ||
    unit.readUInt32LE(4) !== version ||
    unit.readUInt32LE(8) !== index ||
    unit.readUInt32LE(12) !== payloadBytes ||
    unit.toString('hex', 20, 32) !== digestHex(digest).slice(0, 24) ||
    unit.readUInt32LE(16) !== crc32(payload)
  ) {
    return undefined
  }
  return payload
}
