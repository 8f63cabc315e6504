import { corrupt } from './corrupt.js'
import { headerFormat, headerLinkName, headerName, headerNumber, headerType } from './header.js'
import type { MemberType, TarMember } from './member.js'
import { parseDecimal, parseTime } from './numbers.js'
import type { PaxRecords } from './pax.js'
import { addHeaderMap, paxSparse } from './sparse.js'
import { xattrsOf } from './xattrs.js'

/** What the headers before a member's own said. */
export interface Extensions {
  readonly pax: PaxRecords
  /** GNU's L and K; they count more than PAX, as in Go. */
  readonly longName: Buffer | undefined
  readonly longLinkName: Buffer | undefined
}

export interface BuiltMember {
  /** `dataOffset` is not known here. Undefined: nothing that is in a file system, only to be stepped over. */
  readonly member: { -readonly [K in keyof TarMember]: TarMember[K] } | undefined
  /** The size that the headers say; what the tar really has is for types without content another matter. */
  readonly storedBytes: number
  /** The map of a sparse file as far as the header and its records have it. */
  readonly regions?: number[] | undefined
  /** It stands at the start of the content. */
  readonly hasMapInContent?: boolean
}

/** What stat shows for ids that do not fit in 32 bits (the kernel's overflowuid). */
const overflowId = 65_534

/** 35 million years; the difference of two such times, doubled for a sign, is exact in a double. */
const maximumSeconds = 2 ** 50

const slash = 0x2f
const none = Buffer.alloc(0)

const memberTypeOf = new Map<string, MemberType>([
  ['0', 'file'],
  ['1', 'hardlink'],
  ['2', 'symlink'],
  ['3', 'character-device'],
  ['4', 'block-device'],
  ['5', 'directory'],
  ['6', 'fifo'],
  // Contiguous files, and GNU's sparse ones.
  ['7', 'file'],
  ['S', 'file'],
])

/** `headerOffset`: where the member's first header starts; `blockOffset`: where `block` lies. */
export function buildMember(
  block: Buffer,
  extensions: Extensions,
  headerOffset: number,
  blockOffset: number,
): BuiltMember {
  const { pax } = extensions
  const paxSize = present(pax, 'size')
  const storedBytes =
    paxSize === undefined
      ? headerNumber(block, 'size', blockOffset)
      : parseDecimal(paxSize, 'size', headerOffset)
  if (storedBytes < 0) throw corrupt('a size is negative', blockOffset)

  const flag = headerType(block)
  const type = memberTypeOf.get(flag)
  // GNU's dump directories, volume labels and continuations, Solaris' ACLs, and what nobody knows.
  if (type === undefined) return { member: undefined, storedBytes }

  const { longName, longLinkName } = extensions
  const sparse = type === 'file' ? sparseOf(flag, block, pax, headerOffset, blockOffset) : undefined
  const name = sparse?.name ?? longName ?? copied(pax, 'path') ?? headerName(block)
  // Before ustar there was no type for directories; GNU tar still goes by the slash in every format.
  const actualType = type === 'file' && flag === '0' && name.at(-1) === slash ? 'directory' : type
  const isFile = actualType === 'file'
  const isLink = actualType === 'symlink' || actualType === 'hardlink'
  const isDevice = actualType === 'character-device' || actualType === 'block-device'
  const paxTime = present(pax, 'mtime')
  const time = paxTime === undefined ? undefined : parseTime(paxTime, 'mtime', headerOffset)
  const mtimeSeconds = time?.seconds ?? headerNumber(block, 'mtime', blockOffset)
  if (Math.abs(mtimeSeconds) > maximumSeconds) throw corrupt('a time is too far away', blockOffset)
  return {
    member: {
      name,
      type: actualType,
      linkName: isLink ? (longLinkName ?? copied(pax, 'linkpath') ?? headerLinkName(block)) : none,
      mode: headerNumber(block, 'mode', blockOffset) & 0o7777,
      uid: owner(pax, 'uid', block, headerOffset, blockOffset),
      gid: owner(pax, 'gid', block, headerOffset, blockOffset),
      size: isFile ? (sparse?.realSize ?? storedBytes) : 0,
      mtimeSeconds,
      mtimeNanoseconds: time?.nanoseconds ?? 0,
      deviceMajor: isDevice ? deviceNumber(block, 'device major', blockOffset) : 0,
      deviceMinor: isDevice ? deviceNumber(block, 'device minor', blockOffset) : 0,
      headerOffset,
      dataOffset: 0,
      xattrs: pax.size === 0 ? undefined : xattrsOf(pax),
      sparse: undefined,
      unsupported: sparse?.unsupported,
    },
    storedBytes,
    regions: isFile ? sparse?.regions : undefined,
    hasMapInContent: isFile && sparse !== undefined && sparse.regions === undefined && flag !== 'S',
  }
}

interface Sparse {
  readonly name: Buffer | undefined
  readonly realSize: number | undefined
  readonly regions: number[] | undefined
  readonly unsupported?: string
}

function sparseOf(
  flag: string,
  block: Buffer,
  pax: PaxRecords,
  headerOffset: number,
  blockOffset: number,
): Sparse | undefined {
  if (flag !== 'S') return pax.size === 0 ? undefined : paxSparse(pax, headerOffset)
  const realSize = headerNumber(block, 'real size', blockOffset)
  if (realSize < 0) throw corrupt('a size is negative', blockOffset)
  if (headerFormat(block) !== 'gnu')
    return { name: undefined, realSize, regions: undefined, unsupported: 'a sparse file of star' }
  const regions: number[] = []
  addHeaderMap(regions, block, blockOffset)
  return { name: undefined, realSize, regions }
}

/** An empty value stands for none. */
function present(pax: PaxRecords, key: string): Buffer | undefined {
  const value = pax.get(key)
  return value === undefined || value.length === 0 ? undefined : value
}

/** A view would keep the whole PAX header in memory. */
function copied(pax: PaxRecords, key: string): Buffer | undefined {
  const value = present(pax, key)
  return value === undefined ? undefined : Buffer.from(value)
}

function owner(
  pax: PaxRecords,
  key: 'uid' | 'gid',
  block: Buffer,
  headerOffset: number,
  blockOffset: number,
): number {
  const record = present(pax, key)
  const id =
    record === undefined ? headerNumber(block, key, blockOffset) : parseDecimal(record, key, headerOffset)
  return id < 0 || id > 0xffff_ffff ? overflowId : id
}

function deviceNumber(block: Buffer, field: 'device major' | 'device minor', offset: number): number {
  const number = headerNumber(block, field, offset)
  if (number < 0 || number > 0xffff_ffff) throw corrupt(`${field} is out of range`, offset)
  return number
}
