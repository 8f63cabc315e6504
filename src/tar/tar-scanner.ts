/**
 * Finds the members of a tar in its bytes, which are pushed in order in blocks of any size. Content is skipped by
 * arithmetic, so a member of any size costs its header. A plain header that lies whole in a block is read where it
 * lies. Everything else that belongs to a member's headers, from the first extension header (PAX `x`, GNU `L` and `K`)
 * on or cut by a block's end, is copied into the carry until the member is known; so the carry and the offset where it
 * starts are all that a later scan needs to continue.
 *
 * Read are v7, ustar, star, GNU and PAX tars. An end without the two zero blocks is no error (Go's and tar-split's tars
 * exist without), and what follows those blocks is nobody's business.
 */
import { RegistryFsError } from '../util/errors.js'
import {
  blockBytes,
  decodeHeader,
  hasValidChecksum,
  isZeroBlock,
  sparseMapContinues,
  text,
} from './header.js'
import type { TarMember } from './member.js'
import { noPaxRecords, parsePaxRecords, paxRecordsBytes, withGlobals, type PaxRecords } from './pax.js'
import { unfold } from './unfold.js'

export interface ScannerState {
  /** Where the next push must be. */
  readonly offset: number
  /**
   * Where the header group starts that is being read, or where the next one comes. All members with a smaller
   * `headerOffset` have been reported, and no other.
   */
  readonly headerOffset: number
  /** The bytes from `headerOffset` to `offset`; empty while content is being skipped. */
  readonly carry: Buffer
  /** PAX globals in force at `headerOffset`. */
  readonly globals: PaxRecords
  readonly memberCount: number
  /** Where the content before `headerOffset` ends, without its padding. */
  readonly contentEnd: number
  /** In a GNU sparse map that goes on at `headerOffset`: bytes of content after it. */
  readonly sparseBytes: number | undefined
  /** The block before `headerOffset` was zero: one more is the end. */
  readonly zeroBlock: boolean
  readonly ended: boolean
}

export interface TarScannerOptions {
  readonly onMember: (member: TarMember) => void
  readonly resume?: ScannerState | undefined
}

/** Of one extension header. */
export const maximumExtensionBytes = 1 << 20
/** Of all headers of one member. */
export const maximumGroupBytes = 4 << 20
/** Of the PAX globals in force: every member is looked up in them. */
export const maximumGlobalsBytes = 64 << 10
export const maximumMembers = 20_000_000
/** A carry larger than this is let go of after use. */
const keptCarryBytes = 64 << 10

const longLinkNameFlag = 0x4b
const longNameFlag = 0x4c
const paxFlag = 0x78
/** Solaris's name for the same. */
const solarisPaxFlag = 0x58
const paxGlobalFlag = 0x67

interface PendingExtension {
  readonly typeFlag: number
  readonly headerOffset: number
  readonly size: number
}

export class TarScanner {
  readonly #onMember: (member: TarMember) => void
  #offset = 0
  #headerOffset = 0
  #carry = Buffer.alloc(4 * blockBytes)
  #carried = 0
  /** Of the carry, what has been read and belongs to the member to come. */
  #consumed = 0
  /** An extension header whose data comes at `#consumed`. */
  #extension: PendingExtension | undefined
  #globals: PaxRecords = noPaxRecords
  /** What counts for the next member; a global header within a group counts from here on. */
  #groupGlobals: PaxRecords = noPaxRecords
  #pax: PaxRecords = noPaxRecords
  #longName: Buffer | undefined
  #longLinkName: Buffer | undefined
  #memberCount = 0
  #contentEnd = 0
  #sparseBytes: number | undefined
  #zeroBlock = false
  #ended = false

  constructor(options: TarScannerOptions) {
    this.#onMember = options.onMember
    const { resume } = options
    if (resume === undefined) return
    this.#headerOffset = resume.headerOffset
    this.#globals = this.#groupGlobals = resume.globals
    this.#memberCount = resume.memberCount
    this.#contentEnd = resume.contentEnd
    this.#sparseBytes = resume.sparseBytes
    this.#zeroBlock = resume.zeroBlock
    this.#ended = resume.ended
    if (resume.carry.length === 0) this.#offset = resume.offset
    else {
      this.#offset = resume.headerOffset
      this.push(resume.carry, resume.headerOffset)
    }
  }

  /** `bytes` of the tar at `offset`, where the push before ended; not looked at after the return. */
  push(bytes: Buffer, offset: number): void {
    if (offset !== this.#offset)
      throw new RegistryFsError('INVALID', `scanning goes on at ${String(this.#offset)}`, { offset })
    const end = offset + bytes.length
    let at = offset
    while (at < end && !this.#ended) {
      if (this.#carried === 0) {
        if (this.#headerOffset >= end) break
        at = Math.max(at, this.#headerOffset)
        if (end - at >= blockBytes) {
          this.#block(bytes, at - offset)
          at += blockBytes
          continue
        }
      }
      const wanted = this.#wanted()
      const taken = Math.min(wanted, end - at)
      this.#append(bytes, at - offset, taken)
      at += taken
      if (taken === wanted) this.#consume()
    }
    this.#offset = end
  }

  /** The tar's bytes are over: CORRUPT when they should not be. */
  end(totalBytes: number): void {
    if (this.#ended) return
    if (this.#carried > 0) throw this.#corrupt('the tar ends within a header', this.#headerOffset)
    if (this.#sparseBytes !== undefined || this.#contentEnd > totalBytes)
      throw this.#corrupt('the tar ends within a member', totalBytes)
  }

  /** To continue from at the end of the last push. */
  state(): ScannerState {
    return {
      offset: this.#offset,
      headerOffset: this.#headerOffset,
      carry: Buffer.from(this.#carry.subarray(0, this.#carried)),
      globals: this.#globals,
      memberCount: this.#memberCount,
      contentEnd: this.#contentEnd,
      sparseBytes: this.#sparseBytes,
      zeroBlock: this.#zeroBlock,
      ended: this.#ended,
    }
  }

  /** Bytes that the carry lacks of the next header, or of an extension's data. */
  #wanted(): number {
    const bytes = this.#extension === undefined ? blockBytes : padded(this.#extension.size)
    return this.#consumed + bytes - this.#carried
  }

  #append(bytes: Buffer, start: number, length: number): void {
    const needed = this.#carried + length
    if (needed > this.#carry.length) {
      const larger = Buffer.alloc(Math.max(needed, this.#carry.length * 2))
      this.#carry.copy(larger, 0, 0, this.#carried)
      this.#carry = larger
    }
    bytes.copy(this.#carry, this.#carried, start, start + length)
    this.#carried = needed
  }

  /** What was wanted is there, at the carry's end. */
  #consume(): void {
    if (this.#extension === undefined) this.#block(this.#carry, this.#consumed)
    else this.#extend(this.#extension)
  }

  /** One block of 512 bytes at `start`: a header, zeros, or more of a sparse map. */
  #block(bytes: Buffer, start: number): void {
    const offset = this.#headerOffset + this.#consumed
    if (this.#sparseBytes !== undefined) {
      this.#sparseMap(bytes, start, this.#sparseBytes)
      return
    }
    if (bytes[start] === 0 && isZeroBlock(bytes, start)) {
      if (this.#consumed > 0) throw this.#corrupt('a header without its member', this.#headerOffset)
      this.#ended = this.#zeroBlock
      this.#zeroBlock = true
      this.#goOn(offset + blockBytes)
      return
    }
    if (!hasValidChecksum(bytes, start)) {
      if (offset === 0) throw new RegistryFsError('UNSUPPORTED', 'the layer is not a tar', { offset })
      throw this.#corrupt('bad header checksum', offset)
    }
    this.#zeroBlock = false
    const header = decodeHeader(bytes, start)
    if (isExtension(header.typeFlag)) {
      if (header.size === undefined) throw this.#corrupt('an impossible size', offset)
      this.#beginExtension(bytes, start, {
        typeFlag: header.typeFlag,
        headerOffset: offset,
        size: header.size,
      })
      return
    }
    const { member, storedBytes, sparseMapFollows } = unfold(
      header,
      {
        globals: this.#groupGlobals,
        pax: this.#pax,
        longName: this.#longName,
        longLinkName: this.#longLinkName,
      },
      bytes,
      start,
      { groupOffset: this.#headerOffset, headerOffset: offset },
    )
    if (sparseMapFollows) {
      // The map may be long, so the member is told of before it. Nothing can be read at its dataOffset anyway.
      this.#sparseBytes = storedBytes
      this.#goOn(offset + blockBytes)
    } else this.#skip(offset + blockBytes, storedBytes)
    if (member === undefined) return
    if (++this.#memberCount > maximumMembers)
      throw new RegistryFsError('LIMIT', `more than ${String(maximumMembers)} members`, { offset })
    this.#onMember(member)
  }

  #sparseMap(bytes: Buffer, start: number, storedBytes: number): void {
    const next = this.#headerOffset + blockBytes
    if (sparseMapContinues(bytes, start)) {
      this.#goOn(next)
      return
    }
    this.#sparseBytes = undefined
    if (!Number.isSafeInteger(next + storedBytes + blockBytes))
      throw this.#corrupt('an impossible size', this.#headerOffset)
    this.#skip(next, storedBytes)
  }

  #beginExtension(bytes: Buffer, start: number, extension: PendingExtension): void {
    if (
      extension.size > maximumExtensionBytes ||
      this.#consumed + blockBytes + padded(extension.size) > maximumGroupBytes
    )
      throw new RegistryFsError('LIMIT', 'too much of extended headers', { offset: extension.headerOffset })
    if (this.#carried === 0) this.#append(bytes, start, blockBytes)
    this.#consumed += blockBytes
    this.#extension = extension
    if (extension.size === 0) this.#extend(extension)
  }

  /** The extension's data is in the carry. */
  #extend(extension: PendingExtension): void {
    const { typeFlag, headerOffset, size } = extension
    const data = this.#carry.subarray(this.#consumed, this.#consumed + size)
    this.#consumed += padded(size)
    this.#extension = undefined
    switch (typeFlag) {
      case longNameFlag:
        this.#longName = text(data, 0, size)
        break
      case longLinkNameFlag:
        this.#longLinkName = text(data, 0, size)
        break
      case paxGlobalFlag:
        this.#groupGlobals = withGlobals(this.#groupGlobals, parsePaxRecords(data, headerOffset))
        if (paxRecordsBytes(this.#groupGlobals) > maximumGlobalsBytes)
          throw new RegistryFsError('LIMIT', 'too much of global PAX headers', { offset: headerOffset })
        // Alone it belongs to no member.
        if (this.#headerOffset === headerOffset) this.#goOn(this.#headerOffset + this.#consumed)
        break
      default:
        // Of several the last counts, as in Go.
        this.#pax = parsePaxRecords(data, headerOffset)
    }
  }

  /** Over the content to the header after it. */
  #skip(dataOffset: number, storedBytes: number): void {
    this.#contentEnd = dataOffset + storedBytes
    this.#goOn(dataOffset + padded(storedBytes))
  }

  /** The header group is over; the next starts at `headerOffset`. */
  #goOn(headerOffset: number): void {
    this.#headerOffset = headerOffset
    this.#globals = this.#groupGlobals
    if (this.#carried === 0) return
    this.#carried = 0
    this.#consumed = 0
    this.#pax = noPaxRecords
    this.#longName = undefined
    this.#longLinkName = undefined
    if (this.#carry.length > keptCarryBytes) this.#carry = Buffer.alloc(4 * blockBytes)
  }

  #corrupt(message: string, offset: number): RegistryFsError {
    return new RegistryFsError('CORRUPT', message, { offset })
  }
}

function isExtension(typeFlag: number): boolean {
  return (
    typeFlag === paxFlag ||
    typeFlag === paxGlobalFlag ||
    typeFlag === longNameFlag ||
    typeFlag === longLinkNameFlag ||
    typeFlag === solarisPaxFlag
  )
}

function padded(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes
}
