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
  const words = new Uint32Array(entryBytes / 4)
  writeEntry(words, 0, found, attributesValidMs)
  return bytesOf(words)
}

export function encodeAttributes(attributes: Attributes, validMs: number): Buffer {
  const words = new Uint32Array((16 + attributesBytes) / 4)
  writeDuration(words, 0, 8, validMs)
  writeAttributes(words, 16, attributes)
  return bytesOf(words)
}

/** `backing`: the number of the file that the kernel is to read, where the flags say so. */
export function encodeOpened(handle: number, flags: number, backing = 0): Buffer {
  const words = new Uint32Array(4)
  writeNumber(words, 0, handle)
  words[2] = flags
  words[3] = backing
  return bytesOf(words)
}

/** What GETXATTR and LISTXATTR answer when they are asked for the length. */
export function encodeXattrSize(size: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(size, 0)
  return bytes
}

export function encodeSeek(offset: number): Buffer {
  const words = new Uint32Array(2)
  writeNumber(words, 0, offset)
  return bytesOf(words)
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
  #words = new Uint32Array(0)
  #bytes = bytesOf(this.#words)
  #size = 0
  #filled = 0

  /** What was packed before is overwritten. */
  begin(size: number): void {
    this.#size = Math.min(size, maxReadBytes)
    if (this.#bytes.length < this.#size) {
      this.#words = new Uint32Array(Math.ceil(this.#size / 4))
      this.#bytes = bytesOf(this.#words)
    } else this.#bytes.fill(0, 0, this.#size)
    this.#filled = 0
  }

  /** Whether an entry with a name of so many bytes still fits. */
  hasRoom(nameBytes: number, plus: boolean): boolean {
    return this.#filled + packedBytes(nameBytes, plus) <= this.#size
  }

  /** READDIR's. `next`: where to go on after this entry. */
  add(name: Buffer, type: NodeAttributes['type'], inode: number | undefined, next: number): void {
    const at = this.#filled
    writeNumber(this.#words, at, inode ?? unknownInode)
    writeNumber(this.#words, at + 8, next)
    this.#words[(at + 16) / 4] = name.length
    this.#words[(at + 20) / 4] = typeBits[type] >>> 12
    // By a call of `copy` most would take longer.
    const start = at + directoryEntryBytes
    for (let i = 0; i < name.length; i++) this.#bytes[start + i] = name[i] as number
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
    if (found !== undefined) writeEntry(this.#words, this.#filled, found, attributesValidMs)
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

function bytesOf(words: Uint32Array<ArrayBuffer>): Buffer {
  return Buffer.from(words.buffer)
}

/** Here and below places are in bytes, of which all numbers are at multiples of 4. */
function writeEntry(words: Uint32Array, at: number, found: LookupResult, attributesValidMs: number): void {
  writeNumber(words, at, found.inode)
  writeDuration(words, at + 16, at + 32, found.validMs)
  writeDuration(words, at + 24, at + 36, attributesValidMs)
  writeAttributes(words, at + 40, found.attributes)
}

function writeAttributes(words: Uint32Array, at: number, attributes: Attributes): void {
  writeNumber(words, at, attributes.inode)
  writeNumber(words, at + 8, attributes.size)
  writeNumber(words, at + 16, attributes.blocks)
  for (let field = at + 24; field <= at + 40; field += 8) writeNumber(words, field, attributes.mtimeSeconds)
  for (let field = at + 48; field <= at + 56; field += 4) words[field / 4] = attributes.mtimeNanoseconds
  words[(at + 60) / 4] = typeBits[attributes.type] | (attributes.mode & 0o7777)
  words[(at + 64) / 4] = attributes.linkCount
  words[(at + 68) / 4] = attributes.uid
  words[(at + 72) / 4] = attributes.gid
  words[(at + 76) / 4] = encodeDevice(attributes.deviceMajor, attributes.deviceMinor)
  words[(at + 80) / 4] = fileBlockBytes
}

function writeDuration(words: Uint32Array, secondsAt: number, nanosecondsAt: number, ms: number): void {
  if (ms === Infinity) {
    writeNumber(words, secondsAt, foreverSeconds)
    return
  }
  writeNumber(words, secondsAt, Math.floor(ms / 1000))
  words[nanosecondsAt / 4] = Math.floor((ms % 1000) * 1_000_000)
}

/** 64 bits, negative numbers too: each half takes what fits. A BigInt each would cost more than all the rest of a listing. */
function writeNumber(words: Uint32Array, at: number, value: number): void {
  words[at / 4] = value
  words[at / 4 + 1] = Math.floor(value / 0x1_0000_0000)
}
