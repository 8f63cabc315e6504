/**
 * The JSON of a table of contents: eStargz's stargz.index.json, and zstd:chunked's manifest, which is the same with a few
 * fields more (both come from CRFS). Hostile input: whatever is not as it should be makes the whole table one that
 * nobody uses.
 */
import { memberTypes, type MemberType } from '../tar/member.js'
import { RegistryFsError } from '../util/errors.js'

export interface TocEntry {
  readonly type: MemberType | 'chunk'
  readonly name: string
  readonly linkName: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  readonly deviceMajor: number
  readonly deviceMinor: number
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined
  /** In the blob, of the gzip member or zstd frame; 0 where there is no content. */
  readonly offset: number
  /** Uncompressed bytes of that member before the chunk. */
  readonly innerOffset: number
  readonly chunkOffset: number
  /** 0: all that is left of the file. */
  readonly chunkSize: number
  readonly isZeros: boolean
  /** sha256 of the chunk, of the file, in hex. */
  readonly chunkDigest: string | undefined
  readonly digest: string | undefined
}

const types: Readonly<Record<string, TocEntry['type']>> = {
  reg: 'file',
  dir: 'directory',
  symlink: 'symlink',
  hardlink: 'hardlink',
  char: 'character-device',
  block: 'block-device',
  fifo: 'fifo',
  chunk: 'chunk',
}
const maximumNameBytes = 64 << 10

export function parseToc(text: string): readonly TocEntry[] {
  // A name that is not UTF-8 was lost in here.
  if (text.includes('\ufffd') || /\\ufffd/i.test(text)) throw odd('a name cannot be told')
  const document = JSON.parse(text) as { readonly version?: unknown; readonly entries?: unknown } | null
  if (document?.version !== 1 || !Array.isArray(document.entries)) throw odd('it is of another version')
  return document.entries.map(parseEntry)
}

type Fields = Readonly<Record<string, unknown>>

function parseEntry(value: unknown): TocEntry {
  if (typeof value !== 'object' || value === null) throw odd('an entry is none')
  const fields = value as Fields
  const type = types[textOf(fields, 'type')]
  if (type === undefined || !(type === 'chunk' || memberTypes.includes(type)))
    throw odd('an entry has no type')
  return {
    type,
    name: textOf(fields, 'name'),
    linkName: textOf(fields, 'linkName'),
    mode: countOf(fields, 'mode') & 0o7777,
    uid: countOf(fields, 'uid'),
    gid: countOf(fields, 'gid'),
    size: type === 'file' ? countOf(fields, 'size') : 0,
    ...timeOf(textOf(fields, 'modtime')),
    deviceMajor: countOf(fields, 'devMajor'),
    deviceMinor: countOf(fields, 'devMinor'),
    xattrs: xattrsOf(fields['xattrs']),
    offset: countOf(fields, 'offset'),
    innerOffset: countOf(fields, 'innerOffset'),
    chunkOffset: countOf(fields, 'chunkOffset'),
    chunkSize: countOf(fields, 'chunkSize'),
    isZeros: textOf(fields, 'chunkType') === 'zeros',
    chunkDigest: digestOf(fields, 'chunkDigest'),
    digest: digestOf(fields, 'digest'),
  }
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key] ?? ''
  if (typeof value !== 'string' || value.length > maximumNameBytes || value.includes('\0'))
    throw odd(`its ${key} is no text`)
  return value
}

function countOf(fields: Fields, key: string): number {
  const value = fields[key] ?? 0
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw odd(`its ${key} is no count`)
  return value
}

function digestOf(fields: Fields, key: string): string | undefined {
  const text = textOf(fields, key)
  if (text === '') return undefined
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) throw odd(`its ${key} is no sha256`)
  return text.slice('sha256:'.length)
}

/** RFC 3339; nothing is the epoch. */
function timeOf(text: string): { readonly mtimeSeconds: number; readonly mtimeNanoseconds: number } {
  if (text === '') return { mtimeSeconds: 0, mtimeNanoseconds: 0 }
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  const milliseconds = match === null ? Number.NaN : Date.parse(`${match[1] ?? ''}${match[3] ?? ''}`)
  if (!Number.isFinite(milliseconds)) throw odd('a time is none')
  return { mtimeSeconds: milliseconds / 1000, mtimeNanoseconds: Number((match?.[2] ?? '').padEnd(9, '0')) }
}

function xattrsOf(value: unknown): ReadonlyMap<string, Buffer> | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object') throw odd('xattrs are none')
  const xattrs = new Map<string, Buffer>()
  for (const key of Object.keys(value)) xattrs.set(key, Buffer.from(textOf(value as Fields, key), 'base64'))
  return xattrs.size === 0 ? undefined : xattrs
}

export function odd(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `the table of contents is not as it should be: ${reason}`)
}
