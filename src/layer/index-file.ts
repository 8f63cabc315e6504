/**
 * The index of one layer on disk, read as hostile input:
 *
 *   0   magic 'RFSINDEX'   8 u32 version   12 u32 CRC-32 of bytes 16 to 31
 *   16  f64 offset of the windows   24 f64 bytes of the file
 *   32  sections (sections.ts): header, spans, members, seals, zeros
 *   ..  the windows, one after another, each proven by the CRC-32 of the span it serves
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
import { codecs, type Codec } from './codec.js'
import type { LayerIndex } from './layer-index.js'
import { MemberTable } from './member-table.js'
import { decodeSection, encodeSection, FieldReader, FieldWriter, type Section } from './sections.js'
import { SeekTable } from './seek-table.js'
import { FileWindows, type MemoryWindows } from './windows.js'
import { decodeZeros, encodeZeros } from './zero-codec.js'
import { ZeroMap } from './zero-map.js'

const magic = Buffer.from('RFSINDEX')
const version = 4
const preludeBytes = 32
const sectionTypes = { header: 1, spans: 2, members: 3, seals: 4, zeros: 5 } as const

/** Beyond these a file is not ours: a piece of the members, 4 million spans (4 TiB of tar). */
const maximumMembersBytes = 64 << 20
/** As large as most pieces are: zlib's own 16 KiB would be put together again and again. */
const inflateChunkBytes = 4 << 20
const maximumSpans = 1 << 22
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
  const spans = Buffer.alloc(index.spans.count * spanBytes)
  for (let i = 0; i < index.spans.count; i++) {
    const window = index.windows.find(i)
    windows.push(window)
    encodeSpan(index.spans, i, window.length, spans.subarray(i * spanBytes))
  }
  const members: Buffer[] = []
  for (const piece of index.members.pieces())
    members.push(encodeSection(sectionTypes.members, deflateSync(piece, { level: 1 })))
  const sections = [
    encodeSection(sectionTypes.header, header),
    encodeSection(sectionTypes.spans, spans),
    ...members,
    encodeSection(sectionTypes.seals, index.seals),
    encodeSection(sectionTypes.zeros, encodeZeros(index.zeros.runs())),
  ]
  const front = Buffer.concat(sections)
  const windowsOffset = preludeBytes + front.length
  const windowOffsets = new Float64Array(windows.length + 1)
  windowOffsets[0] = windowsOffset
  for (const [i, window] of windows.entries()) windowOffsets[i + 1] = (windowOffsets[i] ?? 0) + window.length
  const fileBytes = windowOffsets[windows.length] ?? windowsOffset
  const bounds = new FieldWriter().count(windowsOffset).count(fileBytes).done()
  const prelude = new FieldWriter().bytes(magic).u32(version).u32(crc32(bounds)).bytes(bounds).done()
  await writeAtomically(path, [prelude, front, Buffer.concat(windows)], { durable: true })
  return { fileBytes, windows: new FileWindows(path, windowOffsets) }
}

/** Undefined when there is none, or none that holds together; a damaged one is deleted unless `readOnly`. */
export async function loadIndex(
  path: string,
  expected: { readonly digest: Digest; readonly blobBytes: number },
  readOnly: boolean,
): Promise<{ readonly index: LayerIndex; readonly fileBytes: number } | undefined> {
  const front = await readFront(path)
  if (front === undefined) return undefined
  try {
    return { index: decodeIndex(path, front, expected), fileBytes: front.fileBytes }
  } catch {
    if (!readOnly) await unlink(path).catch(() => undefined)
    return undefined
  }
}

interface Front {
  readonly sections: Buffer
  readonly windowsOffset: number
  readonly fileBytes: number
}

async function readFront(path: string): Promise<Front | undefined> {
  const handle = await open(path, 'r').catch(() => undefined)
  if (handle === undefined) return undefined
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
    if (!intact) return { sections: Buffer.alloc(0), windowsOffset: 0, fileBytes: 0 }
    const sections = Buffer.allocUnsafeSlow(windowsOffset - preludeBytes)
    await handle.read(sections, 0, sections.length, preludeBytes)
    return { sections, windowsOffset, fileBytes }
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
  const { spans, windows } = decodeSpans(path, only(sections, sectionTypes.spans), front, {
    codec,
    blobBytes,
  })
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
    windows,
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

/** f64 bit offset, f64 bit end, f64 uncompressed offset, f64 length, u32 CRC-32, u16 window length - 1, u16 window bytes, u8 flags. */
const spanBytes = 41

function encodeSpan(table: SeekTable, index: number, windowBytes: number, target: Buffer): void {
  const span = table.get(index)
  target.writeDoubleLE(span.compressedBitOffset, 0)
  target.writeDoubleLE(span.compressedBitEnd, 8)
  target.writeDoubleLE(span.uncompressedOffset, 16)
  target.writeDoubleLE(span.uncompressedLength, 24)
  target.writeUInt32LE(span.crc32, 32)
  target.writeUInt16LE(Math.max(0, span.windowLength - 1), 36)
  target.writeUInt16LE(windowBytes, 38)
  target.writeUInt8((span.atHeader ? 1 : 0) | (span.windowLength > 0 ? 2 : 0) | (span.zero ? 4 : 0), 40)
}

function decodeSpans(
  path: string,
  bytes: Buffer,
  front: Front,
  { codec, blobBytes }: { readonly codec: Codec; readonly blobBytes: number },
): { spans: SeekTable; windows: FileWindows } {
  const count = bytes.length / spanBytes
  if (!Number.isInteger(count) || count > maximumSpans) throw corrupt('its span table has a wrong size')
  const spans = new SeekTable()
  const windowOffsets = new Float64Array(count + 1)
  windowOffsets[0] = front.windowsOffset
  let lastBit = 0
  const reader = new FieldReader(bytes)
  for (let i = 0; i < count; i++) {
    const compressedBitOffset = reader.count(blobBytes * 8)
    const compressedBitEnd = reader.count(blobBytes * 8)
    const uncompressedOffset = reader.count()
    const uncompressedLength = reader.count()
    const checksum = reader.u32()
    const windowLengthLess1 = reader.u16()
    const windowBytes = reader.u16()
    const flags = reader.u8()
    if (compressedBitOffset < lastBit || compressedBitEnd < compressedBitOffset)
      throw corrupt('its spans go back')
    if (uncompressedOffset !== spans.uncompressedBytes) throw corrupt('its spans leave a gap')
    if (windowLengthLess1 >= 32_768) throw corrupt('a window is too long')
    // Spans within one zstd frame all begin where it does.
    lastBit = codec === 'zstd' ? compressedBitOffset : compressedBitEnd
    if (codec !== 'gzip' && compressedBitOffset % 8 !== 0) throw corrupt('a span begins within a byte')
    windowOffsets[i + 1] = (windowOffsets[i] ?? 0) + windowBytes
    spans.append({
      compressedBitOffset,
      compressedBitEnd,
      uncompressedOffset,
      uncompressedLength,
      crc32: checksum,
      windowLength: (flags & 2) === 0 ? 0 : windowLengthLess1 + 1,
      atHeader: (flags & 1) !== 0,
      zero: (flags & 4) !== 0,
    })
  }
  if (windowOffsets[count] !== front.fileBytes) throw corrupt('its windows do not fill the file')
  return { spans, windows: new FileWindows(path, windowOffsets) }
}

function corrupt(reason: string): RegistryFsError {
  return new RegistryFsError('CORRUPT', `index file: ${reason}`)
}
