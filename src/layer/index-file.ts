/**
 * The index of one layer on disk, read as hostile input:
 *
 *   0   magic 'RFSINDEX'   8 u32 version   12 u32 CRC-32 of bytes 16 to 31
 *   16  f64 offset of the windows   24 f64 bytes of the file
 *   32  sections (sections.ts): header, spans, members, seals, zeros
 *   ..  the windows, one after another, each with a CRC-32 among the spans
 *
 * Everything up to the windows is read at once when the layer is opened. Whatever is off makes the file a miss: it
 * is deleted and the first pass builds it anew.
 */
import { open, unlink } from 'node:fs/promises'
import { crc32, deflateSync, inflateSync } from 'node:zlib'
import { writeAtomically } from '../blob/atomic-file.js'
import { chunkCount } from '../blob/chunk-cache.js'
import { parseDiffId, type Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { fileStamp } from '../util/file-stamp.js'
import { throwShortage } from '../util/unreadable.js'
import { codecs } from './codec.js'
import type { LayerIndex } from './layer-index.js'
import { MemberTable } from './member-table.js'
import { decodeSection, encodeSection, FieldReader, FieldWriter, type Section } from './sections.js'
import { decodeSpans, encodeSpans, type StoredWindow } from './span-codec.js'
import { FileWindows, type MemoryWindows } from './windows.js'
import { decodeZeros, encodeZeros } from './zero-codec.js'
import { ZeroMap } from './zero-map.js'

const magic = Buffer.from('RFSINDEX')
const version = 6
const preludeBytes = 32
const sectionTypes = { header: 1, spans: 2, members: 3, seals: 4, zeros: 5 } as const

/** Beyond these a file is not ours: a piece of the members, and all but the windows. */
const maximumMembersBytes = 64 << 20
/** As large as most pieces are: zlib's own 16 KiB would be put together again and again. */
const inflateChunkBytes = 4 << 20
const maximumFrontBytes = 1 << 30

export async function saveIndex(
  path: string,
  index: Omit<LayerIndex, 'windows'> & { readonly windows: MemoryWindows },
): Promise<{ readonly fileBytes: number; readonly windows: FileWindows }> {
  const header = new FieldWriter()
    .bytes(Buffer.from(index.digest.padEnd(136)))
    .bytes(Buffer.from(index.diffId.padEnd(136)))
    .count(index.blobBytes)
    .count(index.tarBytes)
    .u8(codecs.indexOf(index.codec))
    .done()
  const windows: Buffer[] = []
  for (let i = 0; i < index.spans.count; i++) windows.push(index.windows.find(i))
  const stored = windows.map((window) => ({ bytes: window.length, crc32: crc32(window) }))
  const members: Buffer[] = []
  for (const piece of index.members.pieces())
    members.push(encodeSection(sectionTypes.members, deflateSync(piece, { level: 1 })))
  const sections = [
    encodeSection(sectionTypes.header, header),
    encodeSection(sectionTypes.spans, encodeSpans(index.spans, stored)),
    ...members,
    encodeSection(sectionTypes.seals, index.seals),
    encodeSection(sectionTypes.zeros, encodeZeros(index.zeros.runs())),
  ]
  const front = Buffer.concat(sections)
  const windowsOffset = preludeBytes + front.length
  const windowOffsets = offsetsFrom(windowsOffset, stored)
  const fileBytes = windowOffsets[windows.length] ?? windowsOffset
  const bounds = new FieldWriter().count(windowsOffset).count(fileBytes).done()
  const prelude = new FieldWriter().bytes(magic).u32(version).u32(crc32(bounds)).bytes(bounds).done()
  // Not put together: they may be as large as the limit of all.
  await writeAtomically(path, [prelude, front, ...windows], { durable: true })
  return { fileBytes, windows: windowsAt(path, fileStamp(path), windowOffsets, stored) }
}

function offsetsFrom(first: number, windows: readonly StoredWindow[]): Float64Array {
  const offsets = new Float64Array(windows.length + 1)
  offsets[0] = first
  for (const [i, { bytes }] of windows.entries()) offsets[i + 1] = (offsets[i] ?? 0) + bytes
  return offsets
}

function windowsAt(
  path: string,
  stamp: string,
  offsets: Float64Array,
  stored: readonly StoredWindow[],
): FileWindows {
  return new FileWindows({ path, stamp, offsets, checksums: stored.map((window) => window.crc32) })
}

/**
 * Undefined when there is none, or none that holds together; a damaged one is deleted unless `readOnly`. UNREADABLE for
 * want of descriptors or memory.
 */
export async function loadIndex(
  path: string,
  expected: { readonly digest: Digest; readonly blobBytes: number },
  readOnly: boolean,
): Promise<{ readonly index: LayerIndex; readonly fileBytes: number } | undefined> {
  const front = await readFront(path).catch((error: unknown) => {
    throwShortage(error, `the index file ${path}`)
    if (error instanceof RegistryFsError) throw error
    // What the disk does not give is replaced by what the next pass finds.
    return undefined
  })
  if (front === undefined) return undefined
  try {
    return { index: decodeIndex(path, front, expected), fileBytes: front.fileBytes }
  } catch {
    if (!readOnly) await unlink(path).catch(() => undefined)
    return undefined
  }
}

interface Front {
  readonly stamp: string
  readonly sections: Buffer
  readonly windowsOffset: number
  readonly fileBytes: number
}

async function readFront(path: string): Promise<Front> {
  // Before it is opened: one that takes its place meanwhile is another one.
  const stamp = fileStamp(path)
  const handle = await open(path, 'r')
  try {
    const prelude = Buffer.alloc(preludeBytes)
    await handle.read(prelude, 0, preludeBytes, 0)
    const bounds = prelude.subarray(16)
    const windowsOffset = bounds.readDoubleLE(0)
    const fileBytes = bounds.readDoubleLE(8)
    const intact =
      prelude.subarray(0, 8).equals(magic) &&
      prelude.readUInt32LE(8) === version &&
      prelude.readUInt32LE(12) === crc32(bounds) &&
      fileBytes === (await handle.stat()).size &&
      windowsOffset >= preludeBytes &&
      windowsOffset <= Math.min(fileBytes, maximumFrontBytes)
    if (!intact) return { stamp, sections: Buffer.alloc(0), windowsOffset: 0, fileBytes: 0 }
    const sections = Buffer.allocUnsafeSlow(windowsOffset - preludeBytes)
    await handle.read(sections, 0, sections.length, preludeBytes)
    return { stamp, sections, windowsOffset, fileBytes }
  } finally {
    await handle.close()
  }
}

function decodeIndex(
  path: string,
  front: Front,
  expected: { readonly digest: Digest; readonly blobBytes: number },
): LayerIndex {
  const sections = decodeSections(front.sections)
  const header = new FieldReader(only(sections, sectionTypes.header))
  const digest = header.bytes(136).toString('latin1').trimEnd()
  const diffId = parseDiffId(header.bytes(136).toString('latin1').trimEnd())
  const blobBytes = header.count()
  const tarBytes = header.count()
  const codec = codecs[header.u8()]
  if (codec === undefined) throw corrupt('its codec is unknown')
  if (digest !== expected.digest || blobBytes !== expected.blobBytes) throw corrupt('it is of another layer')
  const seals = only(sections, sectionTypes.seals)
  if (seals.length !== 32 * chunkCount(blobBytes)) throw corrupt('its seals do not cover the blob')
  const { spans, windows } = decodeSpans(only(sections, sectionTypes.spans), { codec, blobBytes })
  const windowOffsets = offsetsFrom(front.windowsOffset, windows)
  if (windowOffsets[spans.count] !== front.fileBytes) throw corrupt('its windows do not fill the file')
  if (spans.uncompressedBytes !== tarBytes) throw corrupt('its spans do not cover the tar')
  const pieces = sections
    .filter((section) => section.type === sectionTypes.members)
    .map((section) =>
      inflateSync(section.payload, { maxOutputLength: maximumMembersBytes, chunkSize: inflateChunkBytes }),
    )
  const members = MemberTable.decode(pieces, tarBytes)
  const zeros = new ZeroMap()
  for (const run of decodeZeros(only(sections, sectionTypes.zeros), tarBytes)) {
    zeros.append(run.offset, run.length)
  }
  zeros.complete()
  return {
    digest: expected.digest,
    codec,
    blobBytes,
    diffId,
    tarBytes,
    spans,
    windows: windowsAt(path, front.stamp, windowOffsets, windows),
    zeros,
    members,
    seals,
  }
}

function decodeSections(bytes: Buffer): readonly Section[] {
  const sections: Section[] = []
  for (let offset = 0; offset < bytes.length;) {
    const decoded = decodeSection(bytes, offset)
    if (decoded === undefined) throw corrupt('a section is damaged')
    sections.push(decoded.section)
    offset = decoded.next
  }
  return sections
}

function only(sections: readonly Section[], type: number): Buffer {
  const found = sections.filter((section) => section.type === type)
  if (found.length !== 1 || found[0] === undefined) throw corrupt('a section is missing')
  return found[0].payload
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `index file: ${reason}`)
}
