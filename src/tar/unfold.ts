import { RegistryFsError } from '../util/errors.js'
import { blockBytes, decodeSparseFields, toDeviceNumber, toId, type Header } from './header.js'
import type { MemberType, TarMember } from './member.js'
import { parseDecimal, parseTime } from './numbers.js'
import { findPaxValue, xattrsOf, type PaxRecords } from './pax.js'

/** What extension headers said of the member that follows them. */
export interface Extensions {
  readonly globals: PaxRecords
  readonly pax: PaxRecords
  /** GNU's `L` and `K`. */
  readonly longName: Buffer | undefined
  readonly longLinkName: Buffer | undefined
}

/** Where a header leads. */
export interface Unfolded {
  /** Undefined for what is not to be seen: volume labels, dump directories, types nobody knows. */
  readonly member: TarMember | undefined
  /** Bytes in the tar that follow, not padded. */
  readonly storedBytes: number
  /** Blocks of a GNU sparse map come before those bytes. */
  readonly sparseMapFollows: boolean
}

const empty = Buffer.alloc(0)
const slash = 0x2f

/*
 * Links, devices, directories and FIFOs have no data whatever their size field says: POSIX has it for directories as a
 * quota, and GNU tar, Go (so Docker and containerd) and libarchive ignore it for all of these. POSIX pax lets a hard
 * link come with the file's data, though. GNU tar and Go never read such a thing; libarchive obeys in what it takes for
 * pax and guesses elsewhere. Here a hard link has data just when a PAX `size` record of its own announces it, which
 * no writer does without writing the data.
 */
const dataless: ReadonlySet<MemberType> = new Set<MemberType>([
  'directory',
  'symlink',
  'hardlink',
  'character-device',
  'block-device',
  'fifo',
])

const typesByFlag: ReadonlyMap<number, MemberType> = new Map([
  [0, 'file'],
  [0x30, 'file'],
  [0x31, 'hardlink'],
  [0x32, 'symlink'],
  [0x33, 'character-device'],
  [0x34, 'block-device'],
  [0x35, 'directory'],
  [0x36, 'fifo'],
  // Contiguous, for systems that are long gone.
  [0x37, 'file'],
  // GNU sparse.
  [0x53, 'file'],
])
const gnuSparseFlag = 0x53

/** Applies extensions to a header. `bytes` at `start` is its block; `groupOffset` where the member's first header is. */
export function unfold(
  header: Header,
  extensions: Extensions,
  bytes: Buffer,
  start: number,
  place: { readonly groupOffset: number; readonly headerOffset: number },
): Unfolded {
  const { globals, pax } = extensions
  const offset = place.headerOffset
  const hasPax = globals.size > 0 || pax.size > 0
  const find = (key: string): Buffer | undefined => (hasPax ? findPaxValue(globals, pax, key) : undefined)

  const dataOffset = offset + blockBytes
  const size = sizeOf(header, find, offset)
  if (!Number.isSafeInteger(dataOffset + size + blockBytes)) throw corrupt('an impossible size', offset)

  const flagged = typesByFlag.get(header.typeFlag)
  if (flagged === undefined) return { member: undefined, storedBytes: size, sparseMapFollows: false }

  const name = find('path') ?? extensions.longName ?? header.name
  // As tars from before there was a type for directories, and as all that read those.
  const type = flagged === 'file' && name.at(-1) === slash ? 'directory' : flagged
  const hasData = flagged === 'file' || (flagged === 'hardlink' && pax.has('size'))
  const storedBytes = hasData ? size : 0

  const sparse = sparseOf(header, find, bytes, start, offset)
  const time = hasPax ? paxTime(find('mtime')) : undefined
  const isDevice = type === 'character-device' || type === 'block-device'
  const isLink = type === 'symlink' || type === 'hardlink'
  const member: TarMember = {
    name: sparse?.name ?? name,
    type,
    linkName: isLink ? (find('linkpath') ?? extensions.longLinkName ?? header.linkName) : empty,
    mode: header.mode,
    uid: paxId(find('uid')) ?? header.uid,
    gid: paxId(find('gid')) ?? header.gid,
    size: dataless.has(type) ? 0 : (sparse?.realSize ?? size),
    mtimeSeconds: time?.seconds ?? header.mtime,
    mtimeNanoseconds: time?.nanoseconds ?? 0,
    headerOffset: place.groupOffset,
    dataOffset,
    deviceMajor: isDevice ? (paxDeviceNumber(find('SCHILY.devmajor')) ?? header.deviceMajor) : 0,
    deviceMinor: isDevice ? (paxDeviceNumber(find('SCHILY.devminor')) ?? header.deviceMinor) : 0,
    xattrs: hasPax ? xattrsOf(globals, pax) : undefined,
    unsupported: sparse === undefined || type !== 'file' ? undefined : 'a GNU sparse file',
  }
  return { member, storedBytes, sparseMapFollows: sparse?.mapFollows ?? false }
}

type Find = (key: string) => Buffer | undefined

function sizeOf(header: Header, find: Find, offset: number): number {
  const record = find('size')
  const size = record === undefined ? header.size : parseDecimal(record)
  if (size === undefined || size < 0) throw corrupt('an impossible size', offset)
  return size
}

interface Sparse {
  readonly realSize: number
  readonly name: Buffer | undefined
  readonly mapFollows: boolean
}

/** All four ways in which GNU tar has stored sparse files: type `S`, and PAX 0.0, 0.1 and 1.0. */
function sparseOf(
  header: Header,
  find: Find,
  bytes: Buffer,
  start: number,
  offset: number,
): Sparse | undefined {
  if (header.typeFlag === gnuSparseFlag) {
    const { realSize, isExtended } = decodeSparseFields(bytes, start)
    if (realSize === undefined) throw corrupt('an impossible size of a sparse file', offset)
    return { realSize, name: undefined, mapFollows: isExtended }
  }
  const isSparse =
    find('GNU.sparse.major') ??
    find('GNU.sparse.map') ??
    find('GNU.sparse.numblocks') ??
    find('GNU.sparse.size')
  if (isSparse === undefined) return undefined
  const record = find('GNU.sparse.realsize') ?? find('GNU.sparse.size')
  const realSize = record === undefined ? undefined : parseDecimal(record)
  if (realSize === undefined || realSize < 0) throw corrupt('an impossible size of a sparse file', offset)
  return { realSize, name: find('GNU.sparse.name'), mapFollows: false }
}

/* A garbled owner or time leaves the plain header's: neither is a reason to lose the layer. */

function paxId(value: Buffer | undefined): number | undefined {
  const number = value === undefined ? undefined : parseDecimal(value)
  return number === undefined ? undefined : toId(number)
}

function paxDeviceNumber(value: Buffer | undefined): number | undefined {
  const number = value === undefined ? undefined : parseDecimal(value)
  return number === undefined ? undefined : toDeviceNumber(number)
}

function paxTime(value: Buffer | undefined): ReturnType<typeof parseTime> {
  return value === undefined ? undefined : parseTime(value)
}

function corrupt(message: string, offset: number): RegistryFsError {
  return new RegistryFsError('CORRUPT', message, { offset })
}
