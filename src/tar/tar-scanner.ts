/**
 * Finds the members of a tar in one pass over its bytes, which are pushed in blocks of any size and are looked at
 * where they lie. Content is stepped over by arithmetic; only headers that a push cuts in two are copied.
 *
 * The scan goes from unit to unit: a header block, the data of an extension header (PAX, GNU's L and K), a block of a
 * sparse map. The units from the first extension header to the member's own header are a group; when a push ends
 * within a group, what was pushed of it is kept (`carry`), and a later push or a resumed scan goes on from that.
 *
 * Types without content (links, directories, devices) may claim a size. Go, and so Docker and containerd, ignores it;
 * POSIX lets a PAX archive have content behind a hard link, and libarchive guesses. Here the next block decides: if it
 * is a header or zeros the claim was empty, else there is that much content to step over. So whatever Go reads is
 * read the same, and what it cannot read is read as POSIX has it.
 */
import { RegistryFsError } from '../util/errors.js'
import { blockBytes, isAllZeros, paddedBytes } from './block.js'
import { corrupt, overLimit } from './corrupt.js'
import { hasValidChecksum, headerNumber, headerType } from './header.js'
import { buildMember, type BuiltMember, type Extensions } from './member-builder.js'
import type { TarMember } from './member.js'
import { decodePax, encodePax, globalPax, mergePax, type PaxRecords } from './pax.js'
import type { ScannerState } from './scanner-state.js'
import { addMapBlock, hasMoreMap, hasMoreMapAfter, sparseMapOf, SparseText } from './sparse.js'

export type { ScannerState } from './scanner-state.js'

const maximumExtensionBytes = 1 << 20
/** Of all headers of one member. */
const maximumGroupBytes = 4 << 20
/** Of the PAX globals in force: a name among them would be that of every member. */
const maximumGlobalsBytes = 4 << 10
const maximumMembers = 5_000_000
/** Nor may a sparse file seem larger. Differences of two such numbers, doubled for a sign, are exact in a double. */
const maximumTarBytes = 2 ** 51

const noRecords: PaxRecords = new Map()
const nothingPending: Extensions = { pax: noRecords, longName: undefined, longLinkName: undefined }

type Unit =
  | { readonly kind: 'header' }
  | { readonly kind: 'extension'; readonly type: string; readonly dataBytes: number }
  | { readonly kind: 'sparse map'; readonly built: BuiltMember }
  | {
      readonly kind: 'sparse text'
      readonly built: BuiltMember
      readonly text: SparseText
      readonly contentStart: number
    }

const headerUnit: Unit = { kind: 'header' }

export interface TarScannerOptions {
  readonly onMember: (member: TarMember) => void
  readonly resume?: ScannerState | undefined
}

export class TarScanner {
  readonly #onMember: (member: TarMember) => void
  /** Bytes pushed. */
  #offset = 0
  #groupStart = 0
  #unit: Unit = headerUnit
  #unitStart = 0
  #unitEnd = blockBytes
  #carry = Buffer.alloc(0)
  #carryLength = 0
  #pending = nothingPending
  #globals: PaxRecords = noRecords
  #zeroBlockSeen = false
  #claimedBytes = 0
  #contentEnd = 0
  #memberCount = 0
  #ended = false
  #failure: Error | undefined

  constructor(options: TarScannerOptions) {
    this.#onMember = options.onMember
    const { resume } = options
    if (resume === undefined) return
    const { carry, ended, headerOffset, offset } = resume
    if (!ended && (carry.length === 0 ? headerOffset < offset : headerOffset + carry.length !== offset)) {
      throw corrupt('a saved state does not hold together', headerOffset)
    }
    this.#globals = decodePax(resume.globals, headerOffset)
    this.#claimedBytes = resume.claimedBytes
    this.#contentEnd = resume.contentEnd
    this.#memberCount = resume.memberCount
    this.#ended = ended
    this.#startGroup(headerOffset)
    this.#offset = offset - carry.length
    if (carry.length > 0) this.push(carry, headerOffset)
  }

  /** `bytes` are those of the tar from `offset`, where the last push ended, and are valid only during the call. */
  push(bytes: Buffer, offset: number): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      if (offset !== this.#offset) throw corrupt(`bytes are missing before ${String(offset)}`, this.#offset)
      this.#scan(bytes, offset)
    } catch (error) {
      this.#failure = error as Error
      throw error
    }
  }

  /**
   * The whole tar was pushed. CORRUPT when it stops within a member. The blocks that end an archive, and the padding of
   * the last member, may be missing.
   */
  end(totalBytes: number): void {
    if (this.#failure !== undefined) throw this.#failure
    if (totalBytes !== this.#offset)
      throw corrupt(`of ${String(totalBytes)} bytes some are missing`, this.#offset)
    if (this.#ended) return
    if (totalBytes < this.#contentEnd) throw corrupt('it ends within the content of a member', totalBytes)
    if (this.#carryLength === 0 || isAllZeros(this.#carried())) return
    if (totalBytes < blockBytes) throw notATar()
    throw corrupt('it ends within a header', totalBytes)
  }

  /** Between two pushes, at any time. */
  state(): ScannerState {
    return {
      offset: this.#offset,
      headerOffset: this.#groupStart,
      contentEnd: this.#contentEnd,
      carry: Buffer.from(this.#carried()),
      globals: encodePax(this.#globals),
      claimedBytes: this.#claimedBytes,
      memberCount: this.#memberCount,
      ended: this.#ended,
    }
  }

  #scan(bytes: Buffer, offset: number): void {
    const end = offset + bytes.length
    while (this.#unitEnd <= end && !this.#ended) {
      const { kind } = this.#unit
      const unitBytes = this.#unitBytes(bytes, offset)
      if (kind === 'header') this.#takeHeader(unitBytes)
      else if (kind === 'extension') this.#takeExtension(unitBytes)
      else if (kind === 'sparse map') this.#takeSparseMap(unitBytes)
      else this.#takeSparseText(unitBytes)
    }
    this.#offset = end
    if (this.#ended || this.#groupStart >= end) return
    this.#keep(bytes.subarray(this.#groupStart + this.#carryLength - offset))
  }

  /** The unit's bytes, which end within this push: where they lie, or put together when they began in an earlier one. */
  #unitBytes(bytes: Buffer, offset: number): Buffer {
    if (this.#unitStart >= offset) return bytes.subarray(this.#unitStart - offset, this.#unitEnd - offset)
    this.#keep(bytes.subarray(0, this.#unitEnd - offset))
    return this.#carry.subarray(this.#unitStart - this.#groupStart, this.#unitEnd - this.#groupStart)
  }

  #takeHeader(block: Buffer): void {
    if (block[0] === 0 && isAllZeros(block)) {
      this.#takeZeroBlock()
      return
    }
    const at = this.#unitStart
    if (this.#zeroBlockSeen) throw corrupt('something follows a single block of zeros', at)
    if (!hasValidChecksum(block)) {
      if (at === 0) throw notATar()
      if (this.#claimedBytes === 0) throw corrupt('bad header checksum', at)
      this.#contentEnd = at + this.#claimedBytes
      this.#startGroup(at + paddedBytes(this.#claimedBytes))
      this.#claimedBytes = 0
      return
    }
    this.#claimedBytes = 0
    const type = headerType(block)
    if (isExtension(type)) this.#startExtension(type, headerNumber(block, 'size', at))
    else {
      const extensions = { ...this.#pending, pax: mergePax(this.#globals, this.#pending.pax) }
      const built = buildMember(block, extensions, this.#groupStart, at)
      if (type === 'S' && hasMoreMap(block)) this.#startUnit({ kind: 'sparse map', built }, blockBytes)
      else if (built.hasMapInContent === true) {
        const text = new SparseText(this.#groupStart)
        this.#continueText({ kind: 'sparse text', built, text, contentStart: this.#unitEnd })
      } else this.#finishMember(built)
    }
  }

  #takeZeroBlock(): void {
    if (this.#pending !== nothingPending) throw corrupt('an extension header has no member', this.#groupStart)
    if (this.#zeroBlockSeen) {
      this.#ended = true
      this.#carryLength = 0
    } else {
      this.#zeroBlockSeen = true
      this.#startUnit(headerUnit, blockBytes)
    }
  }

  #startExtension(type: string, size: number): void {
    if (size < 0) throw corrupt('a size is negative', this.#unitStart)
    if (size > maximumExtensionBytes)
      throw overLimit('an extension header is larger than 1 MiB', this.#unitStart)
    this.#startUnit({ kind: 'extension', type, dataBytes: size }, paddedBytes(size))
  }

  #takeExtension(unitBytes: Buffer): void {
    if (this.#unit.kind !== 'extension') return
    const { type, dataBytes } = this.#unit
    // The bytes are gone after the push.
    const data = Buffer.from(unitBytes.subarray(0, dataBytes))
    switch (type) {
      case 'L':
        this.#pending = { ...this.#pending, longName: untilNul(data) }
        break
      case 'K':
        this.#pending = { ...this.#pending, longLinkName: untilNul(data) }
        break
      case 'g':
        this.#addGlobals(decodePax(data, this.#unitStart))
        // It belongs to no member, so nothing before it needs to be seen again.
        if (this.#pending === nothingPending) {
          this.#startGroup(this.#unitEnd)
          return
        }
        break
      default:
        this.#pending = { ...this.#pending, pax: decodePax(data, this.#unitStart) }
    }
    this.#startUnit(headerUnit, blockBytes)
  }

  #addGlobals(records: PaxRecords): void {
    const globals = new Map([...this.#globals, ...globalPax(records)])
    let bytes = 0
    for (const [key, value] of globals) bytes += key.length + value.length
    if (bytes > maximumGlobalsBytes)
      throw overLimit('global PAX records are larger than 4 KiB', this.#unitStart)
    this.#globals = globals
  }

  #takeSparseMap(block: Buffer): void {
    if (this.#unit.kind !== 'sparse map') return
    const { regions } = this.#unit.built
    if (regions !== undefined) addMapBlock(regions, block, this.#unitStart)
    if (hasMoreMapAfter(block)) this.#startUnit(this.#unit, blockBytes)
    else this.#finishMember(this.#unit.built)
  }

  #takeSparseText(block: Buffer): void {
    if (this.#unit.kind !== 'sparse text') return
    const { built, contentStart, text } = this.#unit
    const regions = text.take(block)
    if (regions === undefined) this.#continueText(this.#unit)
    else this.#finishMember({ ...built, regions }, contentStart)
  }

  /** With the next block of a map in the content; one that is too large makes its file unreadable, not the layer. */
  #continueText(unit: Unit & { readonly kind: 'sparse text' }): void {
    const { built, contentStart } = unit
    if (this.#unitEnd + blockBytes > contentStart + built.storedBytes)
      throw corrupt('a sparse map does not end within its content', this.#groupStart)
    if (this.#unitEnd + blockBytes - this.#groupStart <= maximumGroupBytes) this.#startUnit(unit, blockBytes)
    else {
      if (built.member !== undefined) built.member.unsupported = 'a sparse file with a map of more than 4 MiB'
      this.#finishMember(built, contentStart)
    }
  }

  /** The unit at hand ends the headers of this member. `contentStart`: where what is stored of it begins. */
  #finishMember({ member, storedBytes, regions }: BuiltMember, contentStart = this.#unitEnd): void {
    const dataOffset = this.#unitEnd
    const hasContent = member === undefined || member.type === 'file'
    const next = contentStart + (hasContent ? paddedBytes(storedBytes) : 0)
    if (next > maximumTarBytes || dataOffset + (member?.size ?? 0) > maximumTarBytes) {
      throw corrupt('a size is too large', this.#unitStart)
    }
    if (regions !== undefined && member !== undefined) {
      const left = contentStart + storedBytes - dataOffset
      member.sparse = sparseMapOf(regions, member.size, left, member.headerOffset)
    }
    this.#contentEnd = hasContent ? contentStart + storedBytes : dataOffset
    this.#claimedBytes = hasContent ? 0 : storedBytes
    this.#pending = nothingPending
    this.#startGroup(next)
    if (member === undefined) return
    if (this.#memberCount >= maximumMembers)
      throw overLimit('more than 5 million members', member.headerOffset)
    this.#memberCount++
    member.dataOffset = dataOffset
    this.#onMember(member)
  }

  #startGroup(offset: number): void {
    this.#groupStart = offset
    this.#unit = headerUnit
    this.#unitStart = offset
    this.#unitEnd = offset + blockBytes
    this.#carryLength = 0
    if (this.#carry.length > 1 << 16) this.#carry = Buffer.alloc(0)
  }

  /** The unit behind the one at hand, in the same group. */
  #startUnit(unit: Unit, bytes: number): void {
    this.#unit = unit
    this.#unitStart = this.#unitEnd
    this.#unitEnd += bytes
    if (this.#unitEnd - this.#groupStart > maximumGroupBytes) {
      throw overLimit('the headers of a member are larger than 4 MiB', this.#groupStart)
    }
  }

  #carried(): Buffer {
    return this.#carry.subarray(0, this.#carryLength)
  }

  #keep(bytes: Buffer): void {
    const length = this.#carryLength + bytes.length
    if (length > this.#carry.length) {
      // Doubled, for a byte may be pushed at a time.
      const larger = Buffer.alloc(Math.max(2 * this.#carry.length, length, 2 * blockBytes))
      this.#carried().copy(larger)
      this.#carry = larger
    }
    bytes.copy(this.#carry, this.#carryLength)
    this.#carryLength = length
  }
}

/** PAX (x, Solaris' X, global g) and GNU's long name and link name. */
function isExtension(type: string): boolean {
  return type === 'x' || type === 'X' || type === 'g' || type === 'L' || type === 'K'
}

function untilNul(data: Buffer): Buffer {
  const end = data.indexOf(0)
  return Buffer.from(end === -1 ? data : data.subarray(0, end))
}

function notATar(): RegistryFsError {
  return new RegistryFsError('UNSUPPORTED', 'the layer is not a tar', { offset: 0 })
}
