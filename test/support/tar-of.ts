/**
 * Tars as tests want them: `tarOf(dir('disk'), file('disk/a', 'x'), symlink('b', 'disk/a'))`. Written from the formats'
 * descriptions and not with the code under test.
 */

/** One or more members' bytes, already padded. */
export interface TarPart {
  readonly bytes: Buffer
}

export type Name = string | Buffer

export interface MemberOptions {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  /** Seconds; a fraction is written as a PAX record. */
  readonly mtime?: number
  /** Records of this member's own PAX header. */
  readonly pax?: Readonly<Record<string, Name>>
  /** Written as `SCHILY.xattr.`. */
  readonly xattrs?: Readonly<Record<string, Name>>
  /** `ustar` unless told. Names that do not fit go to PAX in `ustar`, to `L` and `K` in `gnu`, and fail in `v7`. */
  readonly format?: 'v7' | 'ustar' | 'gnu'
  /** Takes the place of the size field's; no more content is written for it. */
  readonly claimedSize?: number
  /** Numbers in base-256 even where octal fits. */
  readonly base256?: boolean
  /** Sums signed bytes, as old tars did. */
  readonly signedChecksum?: boolean
  /** ustar's prefix field. */
  readonly prefix?: string
  /** In place of the type's own flag. */
  readonly typeFlag?: string
  readonly deviceMajor?: number
  readonly deviceMinor?: number
  /** Last changes to the header block before its checksum is made. */
  readonly patch?: (block: Buffer) => void
}

export interface TarOptions {
  /** Zero blocks at the end; 2 unless told. */
  readonly endBlocks?: number
}

const blockBytes = 512

export function tarOf(...parts: readonly TarPart[]): Buffer {
  return tarWith({}, ...parts)
}

export function tarWith(options: TarOptions, ...parts: readonly TarPart[]): Buffer {
  return Buffer.concat([
    ...parts.map(({ bytes }) => bytes),
    Buffer.alloc((options.endBlocks ?? 2) * blockBytes),
  ])
}

export function file(name: Name, content: Name = '', options: MemberOptions = {}): TarPart {
  return member('0', name, '', Buffer.from(content as Buffer), { mode: 0o644, ...options })
}

export function dir(name: Name, options: MemberOptions = {}): TarPart {
  return member('5', name, '', empty, { mode: 0o755, ...options })
}

export function symlink(name: Name, target: Name, options: MemberOptions = {}): TarPart {
  return member('2', name, target, empty, { mode: 0o777, ...options })
}

/** `content` is for archives that give it again behind a link. */
export function hardlink(
  name: Name,
  target: Name,
  options: MemberOptions & { readonly content?: Name } = {},
): TarPart {
  return member('1', name, target, Buffer.from((options.content ?? '') as Buffer), {
    mode: 0o644,
    ...options,
  })
}

export function fifo(name: Name, options: MemberOptions = {}): TarPart {
  return member('6', name, '', empty, { mode: 0o644, ...options })
}

export function charDevice(name: Name, major: number, minor: number, options: MemberOptions = {}): TarPart {
  return member('3', name, '', empty, { mode: 0o600, deviceMajor: major, deviceMinor: minor, ...options })
}

export function blockDevice(name: Name, major: number, minor: number, options: MemberOptions = {}): TarPart {
  return member('4', name, '', empty, { mode: 0o600, deviceMajor: major, deviceMinor: minor, ...options })
}

/** Hides `path` of the layers below. */
export function whiteout(path: string): TarPart {
  const slash = path.lastIndexOf('/') + 1
  return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`)
}

/** Hides all that the layers below have in a directory. */
export function opaque(directory: string): TarPart {
  return file(directory === '' ? '.wh..wh..opq' : `${directory}/.wh..wh..opq`)
}

/** A PAX header for the member after it; `global` for all. */
export function pax(
  records: Readonly<Record<string, Name>>,
  options: { readonly global?: boolean } = {},
): TarPart {
  const data = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)))
  return extension(options.global === true ? 'g' : 'x', data)
}

/** GNU's long name (`L`) or link name (`K`). */
export function gnuLong(flag: 'L' | 'K', name: Name): TarPart {
  return extension(flag, Buffer.concat([Buffer.from(name as Buffer), Buffer.alloc(1)]))
}

/** An extension header of any type with any data. */
export function extension(typeFlag: string, data: Buffer): TarPart {
  return raw(Buffer.concat([headerBlock(typeFlag, '././@Ext', '', data.length, {}), padded(data)]))
}

/** Any bytes; the rest of their last block is left to the caller. */
export function raw(bytes: Buffer): TarPart {
  return { bytes }
}

export function paxRecord(key: string, value: Name): Buffer {
  const rest = Buffer.concat([
    Buffer.from(` ${key}=`, 'latin1'),
    Buffer.from(value as Buffer),
    Buffer.from('\n'),
  ])
  let length = rest.length
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

const empty = Buffer.alloc(0)

function member(
  typeFlag: string,
  name: Name,
  linkName: Name,
  content: Buffer,
  options: MemberOptions,
): TarPart {
  const nameBytes = Buffer.from(name as Buffer)
  const linkBytes = Buffer.from(linkName as Buffer)
  const records: Record<string, Name> = { ...options.pax }
  for (const [key, value] of Object.entries(options.xattrs ?? {})) records[`SCHILY.xattr.${key}`] = value
  if (options.mtime !== undefined && !Number.isInteger(options.mtime))
    records['mtime'] = String(options.mtime)
  const before: TarPart[] = []
  const long = (bytes: Buffer, flag: 'L' | 'K', key: string): void => {
    if (bytes.length <= 100) return
    if (options.format === 'v7') throw new Error(`${String(bytes.length)} bytes do not fit in v7`)
    if (options.format === 'gnu') before.push(gnuLong(flag, bytes))
    else records[key] ??= bytes
  }
  long(nameBytes, 'L', 'path')
  long(linkBytes, 'K', 'linkpath')
  if (Object.keys(records).length > 0) before.push(pax(records))
  const size = options.claimedSize ?? content.length
  const block = headerBlock(
    options.typeFlag ?? typeFlag,
    nameBytes.subarray(0, 100),
    linkBytes.subarray(0, 100),
    size,
    options,
  )
  return raw(Buffer.concat([...before.map(({ bytes }) => bytes), block, padded(content)]))
}

function headerBlock(
  typeFlag: string,
  name: Name,
  linkName: Name,
  size: number,
  options: MemberOptions,
): Buffer {
  const block = Buffer.alloc(blockBytes)
  const put = (value: Name, at: number): void => {
    Buffer.from(value as Buffer).copy(block, at)
  }
  const number = (value: number, at: number, length: number): void => {
    putNumber(block, value, at, length, options.base256 === true)
  }
  put(name, 0)
  number(options.mode ?? 0o644, 100, 8)
  number(options.uid ?? 0, 108, 8)
  number(options.gid ?? 0, 116, 8)
  number(size, 124, 12)
  number(Math.floor(options.mtime ?? 0), 136, 12)
  put(Buffer.from(typeFlag, 'latin1'), 156)
  put(linkName, 157)
  if (options.format !== 'v7') {
    put(options.format === 'gnu' ? 'ustar  \0' : 'ustar\x0000', 257)
    number(options.deviceMajor ?? 0, 329, 8)
    number(options.deviceMinor ?? 0, 337, 8)
    put(options.prefix ?? '', 345)
  }
  options.patch?.(block)
  block.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of block) sum += options.signedChecksum === true && byte >= 0x80 ? byte - 256 : byte
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/** Octal where it fits and is wanted, else GNU's base-256. */
function putNumber(block: Buffer, value: number, at: number, length: number, base256: boolean): void {
  const octal = value.toString(8)
  if (!base256 && value >= 0 && octal.length < length) {
    block.write(`${octal.padStart(length - 1, '0')}\0`, at, 'latin1')
    return
  }
  let rest = BigInt.asUintN(8 * length, BigInt(value))
  for (let i = length - 1; i >= 0; i--) {
    block[at + i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  block[at] = (block[at] as number) | 0x80
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((blockBytes - (bytes.length % blockBytes)) % blockBytes)])
}
