import { memberTypes, type MemberType, type TarMember } from '../tar/member.js'
import type { SparseMap } from '../tar/sparse-map.js'
import { RegistryFsError } from '../util/errors.js'
import { memberFlags as flags, typeBits } from './member-format.js'

const maximumTextBytes = 1 << 20
const maximumXattrs = 1 << 16
const empty = Buffer.alloc(0)

/**
 * Goes through encoded members one by one. What it is at is plain numbers and places in the bytes, for a million members
 * are looked at when a layer is opened and few are needed whole. CORRUPT for anything that `encodeMember` does not
 * write.
 */
export class MemberCursor {
  #bytes: Buffer
  at: number
  #first = 0
  nameStart = 0
  nameEnd = 0
  #mode = 0
  #headerOffset = 0
  #dataOffset = 0
  #mtimeSeconds = 0
  #size = 0
  #linkStart = 0
  #linkEnd = 0
  #uid = 0
  #gid = 0
  #mtimeNanoseconds = 0
  #deviceMajor = 0
  #deviceMinor = 0
  /** Where the rest begins: xattrs, the reason, the map. */
  #rest = 0

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.at = at
  }

  goTo(bytes: Buffer, at: number): void {
    this.#bytes = bytes
    this.at = at
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  get type(): MemberType {
    return memberTypes[this.#first & 7] as MemberType
  }

  get headerOffset(): number {
    return this.#headerOffset
  }

  get isAtEnd(): boolean {
    return this.at === this.#bytes.length
  }

  /** Where what the tar has of the member ends. */
  get end(): number {
    const present = this.#first >> typeBits
    if (present & flags.unsupported) return this.#dataOffset
    if ((present & flags.sparse) === 0) return this.#dataOffset + this.#size
    return this.member().sparse?.reduce((sum, n, i) => (i % 2 === 0 ? sum : sum + n), this.#dataOffset) ?? 0
  }

  get mode(): number {
    return this.#mode
  }

  get uid(): number {
    return this.#uid
  }

  get gid(): number {
    return this.#gid
  }

  get size(): number {
    return this.#size
  }

  get mtimeSeconds(): number {
    return this.#mtimeSeconds
  }

  get mtimeNanoseconds(): number {
    return this.#mtimeNanoseconds
  }

  get deviceMajor(): number {
    return this.#deviceMajor
  }

  get deviceMinor(): number {
    return this.#deviceMinor
  }

  get dataOffset(): number {
    return this.#dataOffset
  }

  /** The length of the link's name. */
  get linkBytes(): number {
    return this.#linkEnd - this.#linkStart
  }

  /** Its content is in the tar as it is. */
  get isWhole(): boolean {
    return ((this.#first >> typeBits) & (flags.unsupported | flags.sparse)) === 0
  }

  /** Known as soon as its type is. */
  get hasXattrs(): boolean {
    return ((this.#first >> typeBits) & flags.xattrs) !== 0
  }

  /** Type and name only; `at` is of no use afterwards. */
  peek(): void {
    this.#first = this.count((1 << (typeBits + 8)) - 1)
    if ((this.#first & 7) >= memberTypes.length) throw corrupt('an unknown type')
    const length = this.count(maximumTextBytes)
    this.nameStart = this.at
    this.nameEnd = this.#skip(length)
  }

  next(): void {
    this.peek()
    const present = this.#first >> typeBits
    this.#mode = this.count(0o7777)
    this.#headerOffset = this.count()
    this.#dataOffset = this.#headerOffset + this.count()
    this.#mtimeSeconds = this.#signed()
    this.#size = present & flags.size ? this.count() : 0
    if (!Number.isSafeInteger(this.#dataOffset + this.#size)) throw corrupt('an impossible offset')
    if (this.#size > 0 && (this.#first & 7) !== 0) throw corrupt(`a ${this.type} with content`)
    const linkLength = present & flags.link ? this.count(maximumTextBytes) : 0
    this.#linkStart = this.at
    this.#linkEnd = this.#skip(linkLength)
    const hasOwner = (present & flags.owner) !== 0
    this.#uid = hasOwner ? this.count(0xffff_ffff) : 0
    this.#gid = hasOwner ? this.count(0xffff_ffff) : 0
    this.#mtimeNanoseconds = present & flags.nanoseconds ? this.count(999_999_999) : 0
    const hasDevice = (present & flags.device) !== 0
    this.#deviceMajor = hasDevice ? this.count(0xffff_ffff) : 0
    this.#deviceMinor = hasDevice ? this.count(0xffff_ffff) : 0
    this.#rest = this.at
    if (present & flags.xattrs) {
      for (let left = 2 * this.count(maximumXattrs); left > 0; left--)
        this.#skip(this.count(maximumTextBytes))
    }
    if (present & flags.unsupported) this.#skip(this.count(maximumTextBytes))
    if (present & flags.sparse) this.#skipMap()
  }

  /** Of its own, so that it keeps nothing else in memory. */
  member(): TarMember {
    const present = this.#first >> typeBits
    const rest = new MemberCursor(this.#bytes, this.#rest)
    return {
      name: this.#copy(this.nameStart, this.nameEnd),
      type: this.type,
      linkName: this.#linkStart === this.#linkEnd ? empty : this.#copy(this.#linkStart, this.#linkEnd),
      mode: this.#mode,
      uid: this.#uid,
      gid: this.#gid,
      size: this.#size,
      mtimeSeconds: this.#mtimeSeconds,
      mtimeNanoseconds: this.#mtimeNanoseconds,
      deviceMajor: this.#deviceMajor,
      deviceMinor: this.#deviceMinor,
      headerOffset: this.#headerOffset,
      dataOffset: this.#dataOffset,
      xattrs: present & flags.xattrs ? rest.#xattrs() : undefined,
      unsupported: present & flags.unsupported ? rest.#text().toString() : undefined,
      sparse: present & flags.sparse ? rest.#map() : undefined,
    }
  }

  count(maximum = Number.MAX_SAFE_INTEGER): number {
    const bytes = this.#bytes
    let value = 0
    let unit = 1
    for (let i = 0; i < 8 && this.at < bytes.length; i++) {
      const byte = bytes[this.at++] as number
      value += (byte & 0x7f) * unit
      if (byte < 0x80) {
        if (value > maximum) throw corrupt('a number is too large')
        return value
      }
      unit *= 0x80
    }
    throw corrupt('they end too early, or a number is too large')
  }

  #signed(): number {
    const value = this.count()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  #skip(length: number): number {
    if (length > this.#bytes.length - this.at) throw corrupt('they end too early')
    return (this.at += length)
  }

  #copy(start: number, end: number): Buffer {
    return Buffer.from(this.#bytes.subarray(start, end))
  }

  #text(): Buffer {
    const length = this.count(maximumTextBytes)
    const start = this.at
    return this.#copy(start, this.#skip(length))
  }

  #xattrs(): ReadonlyMap<string, Buffer> {
    const xattrs = new Map<string, Buffer>()
    for (let left = this.count(maximumXattrs); left > 0; left--) {
      const name = this.#text().toString()
      xattrs.set(name, this.#text())
    }
    return xattrs
  }

  #skipMap(): void {
    let end = 0
    for (let left = this.count(this.#bytes.length >> 1); left > 0; left--) {
      end += this.count()
      const length = this.count()
      end += length
      if (length === 0 || end > this.#size) throw corrupt('a sparse map that is none')
    }
  }

  #map(): SparseMap {
    const map = new Float64Array(2 * this.count())
    let end = 0
    for (let i = 0; i < map.length; i += 2) {
      map[i] = end + this.count()
      map[i + 1] = this.count()
      end = (map[i] as number) + (map[i + 1] as number)
    }
    return map
  }
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `members: ${reason}`)
}
