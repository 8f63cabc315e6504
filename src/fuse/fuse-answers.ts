/** Bodies of answers to the kernel, as linux/fuse.h lays them out; the header is the channel's. */
import type { NodeAttributes } from '../image/image.js'
import { fileBlockBytes } from '../util/file-block.js'
import type { Attributes, FileSystemStatus, LookupResult } from './binding.js'
import {
  initExtension,
  initFlags,
  initPassthrough,
  oldestMinor,
  protocolMajor,
  protocolMinor,
  type InitRequest,
} from './fuse-protocol.js'
import { encodeDevice, typeBits } from './mode.js'

/** The longest read that the kernel sends, and the longest answer. */
export const maxReadBytes = 1 << 20
const pageBytes = 4096
/** Requests of read-ahead under way at once; beyond three quarters of it the kernel holds back. */
const maxBackground = 48
/** Nothing is written. */
const maxWrite = 4096

const attributesBytes = 88
const entryBytes = 40 + attributesBytes
const directoryEntryBytes = 24
/** As long as it lives; the kernel counts in 64 bits of seconds, and cuts off what its clock cannot hold. */
const foreverSeconds = 10 * 365 * 86_400
/** libfuse's FUSE_UNKNOWN_INO. */
const unknownInode = 0xffffffff

/** Files that the kernel reads by itself lie on no stacked file system (overlayfs), and those may lie above us. */
const maxStackDepth = 1

/** Undefined when the kernel is too old for us. */
export function encodeInit(request: InitRequest, passthrough = false): Buffer | undefined {
  if (request.major < protocolMajor || (request.major === protocolMajor && request.minor < oldestMinor)) {
    return undefined
  }
  const wanted = Object.values(initFlags).reduce((all, flag) => all | flag, 0)
  const bytes = Buffer.alloc(64)
  bytes.writeUInt32LE(protocolMajor, 0)
  bytes.writeUInt32LE(protocolMinor, 4)
  bytes.writeUInt32LE(Math.max(request.maxReadAhead, maxReadBytes), 8)
  bytes.writeUInt32LE((request.flags & wanted) >>> 0, 12)
  bytes.writeUInt16LE(maxBackground, 16)
  bytes.writeUInt16LE((maxBackground * 3) / 4, 18)
  bytes.writeUInt32LE(maxWrite, 20)
  // time_gran: tar knows nanoseconds.
  bytes.writeUInt32LE(1, 24)
  bytes.writeUInt16LE(maxReadBytes / pageBytes, 28)
  if (passthrough && request.hasPassthrough) {
    bytes.writeUInt32LE(((request.flags & wanted) | initExtension) >>> 0, 12)
    bytes.writeUInt32LE(initPassthrough, 32)
    bytes.writeUInt32LE(maxStackDepth, 36)
  }
  return bytes
}

/** How long the name, and how long the attributes are believed. */
export function encodeEntry(found: LookupResult, attributesValidMs: number): Buffer {
  const bytes = Buffer.alloc(entryBytes)
  writeEntry(bytes, 0, found, attributesValidMs)
  return bytes
}

export function encodeAttributes(attributes: Attributes, validMs: number): Buffer {
  const bytes = Buffer.alloc(16 + attributesBytes)
  writeDuration(bytes, 0, 8, validMs)
  writeAttributes(bytes, 16, attributes)
  return bytes
}

/** `backing`: the number of the file that the kernel is to read, where the flags say so. */
export function encodeOpened(handle: number, flags: number, backing = 0): Buffer {
  const bytes = Buffer.alloc(16)
  writeNumber(bytes, 0, handle)
  bytes.writeUInt32LE(flags, 8)
  bytes.writeUInt32LE(backing, 12)
  return bytes
}

/** What GETXATTR and LISTXATTR answer when they are asked for the length. */
export function encodeXattrSize(size: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(size, 0)
  return bytes
}

export function encodeSeek(offset: number): Buffer {
  const bytes = Buffer.alloc(8)
  writeNumber(bytes, 0, offset)
  return bytes
}

/** Nothing is free and nothing is full. */
export function encodeFileSystemStatus({ blockBytes, nameBytesMax }: FileSystemStatus): Buffer {
  const bytes = Buffer.alloc(80)
  bytes.writeUInt32LE(blockBytes, 40)
  bytes.writeUInt32LE(nameBytesMax, 44)
  bytes.writeUInt32LE(blockBytes, 48)
  return bytes
}

/** Packs entries of a directory until `size` bytes are full, always into the same memory: one answer after the other. */
export class DirectoryPacker {
  #bytes = Buffer.alloc(0)
  #size = 0
  #filled = 0

  /** What was packed before is overwritten. */
  begin(size: number): void {
    this.#size = Math.min(size, maxReadBytes)
    if (this.#bytes.length < this.#size) this.#bytes = Buffer.alloc(this.#size)
    else this.#bytes.fill(0, 0, this.#size)
    this.#filled = 0
  }

  /** Whether an entry with a name of so many bytes still fits. */
  hasRoom(nameBytes: number, plus: boolean): boolean {
    return this.#filled + packedBytes(nameBytes, plus) <= this.#size
  }

  /** READDIR's. `next`: where to go on after this entry. */
  add(name: Buffer, type: NodeAttributes['type'], inode: number | undefined, next: number): void {
    const at = this.#filled
    writeNumber(this.#bytes, at, inode ?? unknownInode)
    writeNumber(this.#bytes, at + 8, next)
    this.#bytes.writeUInt32LE(name.length, at + 16)
    this.#bytes.writeUInt32LE(typeBits[type] >>> 12, at + 20)
    name.copy(this.#bytes, at + directoryEntryBytes)
    this.#filled += packedBytes(name.length, false)
  }

  /** READDIRPLUS's: with the answer to the lookup that the kernel need not make then; without, it makes it when it must. */
  addPlus(
    name: Buffer,
    type: NodeAttributes['type'],
    inode: number | undefined,
    next: number,
    found: LookupResult | undefined,
    attributesValidMs: number,
  ): void {
    if (found !== undefined) writeEntry(this.#bytes, this.#filled, found, attributesValidMs)
    this.#filled += entryBytes
    this.add(name, type, inode, next)
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#filled)
  }
}

function packedBytes(nameBytes: number, plus: boolean): number {
  return (plus ? entryBytes : 0) + directoryEntryBytes + Math.ceil(nameBytes / 8) * 8
}

function writeEntry(bytes: Buffer, at: number, found: LookupResult, attributesValidMs: number): void {
  writeNumber(bytes, at, found.inode)
  writeDuration(bytes, at + 16, at + 32, found.validMs)
  writeDuration(bytes, at + 24, at + 36, attributesValidMs)
  writeAttributes(bytes, at + 40, found.attributes)
}

function writeAttributes(bytes: Buffer, at: number, attributes: Attributes): void {
  writeNumber(bytes, at, attributes.inode)
  writeNumber(bytes, at + 8, attributes.size)
  writeNumber(bytes, at + 16, attributes.blocks)
  for (let field = 24; field <= 40; field += 8) writeSigned(bytes, at + field, attributes.mtimeSeconds)
  for (let field = 48; field <= 56; field += 4) bytes.writeUInt32LE(attributes.mtimeNanoseconds, at + field)
  bytes.writeUInt32LE(typeBits[attributes.type] | (attributes.mode & 0o7777), at + 60)
  bytes.writeUInt32LE(attributes.linkCount, at + 64)
  bytes.writeUInt32LE(attributes.uid >>> 0, at + 68)
  bytes.writeUInt32LE(attributes.gid >>> 0, at + 72)
  bytes.writeUInt32LE(encodeDevice(attributes.deviceMajor, attributes.deviceMinor), at + 76)
  bytes.writeUInt32LE(fileBlockBytes, at + 80)
}

function writeDuration(bytes: Buffer, secondsAt: number, nanosecondsAt: number, ms: number): void {
  if (ms === Infinity) {
    writeNumber(bytes, secondsAt, foreverSeconds)
    return
  }
  writeNumber(bytes, secondsAt, Math.floor(ms / 1000))
  bytes.writeUInt32LE(Math.floor((ms % 1000) * 1_000_000), nanosecondsAt)
}

/** 64 bits; a BigInt each would cost more than all the rest of a listing. */
function writeSigned(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  bytes.writeUInt32LE(value - high * 0x1_0000_0000, at)
  bytes.writeInt32LE(high, at + 4)
}

function writeNumber(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % 0x1_0000_0000, at)
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4)
}
