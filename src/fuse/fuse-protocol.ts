/**
 * The kernel's FUSE protocol as linux/fuse.h (7.31 and later) lays it out, little endian as on every machine that Node
 * supports: numbers, and the decoding of requests. Answers are in fuse-answers.ts. Bytes in, values out; no kernel needed.
 *
 * 64-bit numbers become doubles: inode numbers, handles and request numbers are far below 2^53. A number that is not
 * is decoded inexactly and then names nothing.
 */
import type { Whence } from '../blob/source.js'

export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  readlink: 5,
  open: 14,
  read: 15,
  statfs: 17,
  release: 18,
  getxattr: 22,
  listxattr: 23,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  readdirplus: 44,
  lseek: 46,
} as const

/** Those that would change something: the kernel does not send them to a read-only mount, but nothing rests on that. */
const changing: ReadonlySet<number> = new Set([4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51])

/** FUSE_SETATTR, _MKNOD, _WRITE and the like. */
export function isChange(opcode: number): boolean {
  return changing.has(opcode)
}

export const protocolMajor = 7
/** What we speak; the kernel and we both keep to the lower of the two. */
export const protocolMinor = 31
/** FUSE_MAX_PAGES is of 7.28, 4.20; readlink's cache too. */
export const oldestMinor = 28

/**
 * FUSE_* flags of INIT. Without FUSE_READDIRPLUS_AUTO: with it the kernel takes attributes of the first page of a directory only,
 * until somebody has looked something up; `find` reads ten thousand names first and then looks each of them up.
 */
export const initFlags = {
  asyncRead: 1 << 0,
  doReaddirplus: 1 << 13,
  parallelDirectoryOperations: 1 << 18,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
} as const

/** More flags follow in the body. */
export const initExtension = 1 << 30
/** FUSE_PASSTHROUGH (7.40, Linux 6.9): bit 37, here among the upper 32. */
export const initPassthrough = 1 << 5

/** FOPEN_*: what the kernel may do with an opened node. */
export const openFlags = {
  directIo: 1 << 0,
  keepCache: 1 << 1,
  cacheDirectory: 1 << 3,
  passthrough: 1 << 7,
} as const

const headerBytes = 40
/** lseek(2) */
const seekData = 3
const seekHole = 4
const getattrHasHandle = 1

export interface FuseRequest {
  readonly opcode: number
  /** The request's number: its answer's address. */
  readonly unique: number
  readonly inode: number
  /** Of the thread that asks; 0 where it cannot be seen from here. */
  readonly pid: number
  readonly body: Buffer
}

export interface InitRequest {
  readonly major: number
  readonly minor: number
  readonly maxReadAhead: number
  readonly flags: number
  /** Whether the kernel can read files by itself. */
  readonly hasPassthrough: boolean
}

export interface ReadRequest {
  readonly handle: number
  readonly offset: number
  readonly size: number
}

/** Splits what the channel read; throws a RangeError when it is no sequence of whole requests. */
export function decodeRequests(bytes: Buffer): FuseRequest[] {
  const requests: FuseRequest[] = []
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at)
    if (length < headerBytes || at + length > bytes.length) throw new RangeError('a FUSE request is cut off')
    requests.push({
      opcode: bytes.readUInt32LE(at + 4),
      unique: readNumber(bytes, at + 8),
      inode: readNumber(bytes, at + 16),
      pid: bytes.readUInt32LE(at + 32),
      body: bytes.subarray(at + headerBytes, at + length),
    })
    at += length
  }
  return requests
}

export function decodeInit(body: Buffer): InitRequest {
  const flags = body.readUInt32LE(12)
  const moreFlags = (flags & initExtension) !== 0 && body.length >= 20 ? body.readUInt32LE(16) : 0
  return {
    major: body.readUInt32LE(0),
    minor: body.readUInt32LE(4),
    maxReadAhead: body.readUInt32LE(8),
    flags,
    hasPassthrough: (moreFlags & initPassthrough) !== 0,
  }
}

/** A name with its NUL, as LOOKUP has it. */
export function decodeName(body: Buffer, at = 0): Buffer {
  const end = body.indexOf(0, at)
  return body.subarray(at, end < 0 ? body.length : end)
}

/** Undefined: of the inode, not of an open file. */
export function decodeGetattr(body: Buffer): number | undefined {
  return (body.readUInt32LE(0) & getattrHasHandle) === 0 ? undefined : readNumber(body, 8)
}

export function decodeOpen(body: Buffer): { readonly flags: number } {
  return { flags: body.readUInt32LE(0) }
}

/** Of READ, READDIR and READDIRPLUS. */
export function decodeRead(body: Buffer): ReadRequest {
  return { handle: readNumber(body, 0), offset: readNumber(body, 8), size: body.readUInt32LE(16) }
}

/** Of RELEASE and RELEASEDIR. */
export function decodeHandle(body: Buffer): number {
  return readNumber(body, 0)
}

/** Of GETXATTR; LISTXATTR has no name. A size of 0 asks how long the answer is. */
export function decodeXattr(body: Buffer): { readonly size: number; readonly name: string } {
  return { size: body.readUInt32LE(0), name: decodeName(body, 8).toString() }
}

export function decodeForget(body: Buffer): number {
  return readNumber(body, 0)
}

export function decodeBatchForget(body: Buffer): { readonly inode: number; readonly count: number }[] {
  const count = Math.min(body.readUInt32LE(0), Math.floor((body.length - 8) / 16))
  return Array.from({ length: count }, (_, i) => ({
    inode: readNumber(body, 8 + i * 16),
    count: readNumber(body, 16 + i * 16),
  }))
}

/** The number of the request that nobody waits for any more. */
export function decodeInterrupt(body: Buffer): number {
  return readNumber(body, 0)
}

export interface SeekRequest {
  readonly handle: number
  readonly offset: number
  /** Undefined: none that the kernel asks a file system for. */
  readonly whence: Whence | undefined
}

export function decodeSeek(body: Buffer): SeekRequest {
  const number = body.readUInt32LE(16)
  const whence = number === seekData ? 'data' : number === seekHole ? 'hole' : undefined
  return { handle: readNumber(body, 0), offset: readNumber(body, 8), whence }
}

function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 0x1_0000_0000 + bytes.readUInt32LE(at)
}
