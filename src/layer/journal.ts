/**
 * What a running first pass has found so far, so that a killed one continues: sections (sections.ts) appended at each
 * checkpoint, never changed. A reader takes everything up to the last whole checkpoint and ignores the rest; what
 * does not hold together is deleted and the pass starts anew. Failing to write costs the resumption, nothing else.
 */
import { open, readFile, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { deflateSync, inflateSync } from 'node:zlib'
import type { SpanEvent } from '../native.js'
import type { ScannerState } from '../tar/tar-scanner.js'
import type { TarMember } from '../tar/member.js'
import type { Digest } from '../util/digest.js'
import { describeError, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { makeDirectories } from '../util/make-directories.js'
import { throwShortage } from '../util/unreadable.js'
import { codecs, type Codec } from './codec.js'
import { decodeMembers } from './member-codec.js'
import { decodeScannerState, encodeScannerState } from './scanner-state-codec.js'
import { decodeSection, encodeSection, FieldReader, FieldWriter } from './sections.js'
import { hasBoundedInput } from './span-limits.js'
import { decodeZeros, encodeZeros } from './zero-codec.js'
import type { ZeroRun } from './zero-map.js'

const version = 5
const sectionTypes = { header: 16, spans: 17, members: 18, seals: 19, checkpoint: 20, zeros: 21 } as const
const maximumMembersBytes = 1 << 30

export interface Seal {
  readonly index: number
  /** 32 bytes (native.ts, chunkSeal). */
  readonly seal: Buffer
}

/** Where a pass can continue. */
export interface Checkpoint {
  readonly codec: Codec
  readonly compressedBitOffset: number
  readonly uncompressedOffset: number
  /** The addon's. */
  readonly state: Buffer
  readonly scanner: ScannerState
}

/** Everything that was found since the checkpoint before. */
export interface JournalEntry {
  readonly spans: readonly SpanEvent[]
  readonly members: readonly TarMember[]
  readonly seals: readonly Seal[]
  readonly zeros: readonly ZeroRun[]
  readonly checkpoint: Checkpoint
}

/** The same as it is written: members as the table has them. */
export type NewEntry = Omit<JournalEntry, 'members'> & { readonly members: Buffer }

export class JournalWriter {
  readonly #path: string
  readonly #log: Logger
  #handle: FileHandle | undefined
  #queue: Promise<void>
  #broken = false

  /** `keepBytes`: what `loadJournal` accepted; the file is cut there. 0 starts a new one. */
  constructor(
    path: string,
    identity: { readonly digest: Digest; readonly blobBytes: number },
    keepBytes: number,
    log: Logger,
  ) {
    this.#path = path
    this.#log = log
    this.#queue = this.#guard(async () => {
      this.#handle = await open(path, keepBytes === 0 ? 'w' : 'r+', 0o600).catch(async (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        await makeDirectories(dirname(path))
        return open(path, 'w', 0o600)
      })
      await this.#handle.truncate(keepBytes)
      if (keepBytes === 0) await this.#append(encodeHeader(identity))
    })
  }

  append(entry: NewEntry): void {
    this.#queue = this.#queue.then(async () => this.#guard(async () => this.#append(encodeEntry(entry))))
  }

  /** Waits for what was appended. */
  async close(): Promise<void> {
    await this.#queue
    await this.#handle?.close().catch(() => undefined)
    this.#handle = undefined
  }

  async #append(bytes: Buffer): Promise<void> {
    if (this.#handle === undefined) return
    // Without a position a handle opened 'r+' would write at its start.
    const { size } = await this.#handle.stat()
    await this.#handle.write(bytes, 0, bytes.length, size)
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    if (this.#broken) return
    try {
      await work()
    } catch (error) {
      this.#broken = true
      this.#log.warn(
        { path: this.#path, reason: describeError(error) },
        'a first pass cannot be journaled: it will not resume',
      )
    }
  }
}

export interface LoadedJournal {
  readonly entries: readonly JournalEntry[]
  /** Bytes of the file that hold together. */
  readonly keepBytes: number
}

/** Undefined when there is nothing to continue from. UNREADABLE for want of descriptors or memory: a new one would take its place. */
export async function loadJournal(
  path: string,
  identity: { readonly digest: Digest; readonly blobBytes: number },
): Promise<LoadedJournal | undefined> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throwShortage(error, `the journal ${path}`)
    return undefined
  })
  if (bytes === undefined) return undefined
  try {
    return decodeJournal(bytes, identity)
  } catch {
    return undefined
  }
}

export async function removeJournal(path: string): Promise<void> {
  await unlink(path).catch(() => undefined)
}

function decodeJournal(
  bytes: Buffer,
  identity: { readonly digest: Digest; readonly blobBytes: number },
): LoadedJournal | undefined {
  const header = decodeSection(bytes, 0)
  if (header === undefined || !bytes.subarray(0, header.next).equals(encodeHeader(identity))) return undefined
  const entries: JournalEntry[] = []
  let keepBytes = header.next
  let pending: { spans?: SpanEvent[]; members?: readonly TarMember[]; seals?: Seal[]; zeros?: Buffer } = {}
  for (let offset = header.next; ;) {
    const decoded = decodeSection(bytes, offset)
    if (decoded === undefined) break
    offset = decoded.next
    const { type, payload } = decoded.section
    if (type === sectionTypes.spans) pending.spans = decodeSpans(payload)
    else if (type === sectionTypes.members)
      pending.members = decodeMembers(inflateSync(payload, { maxOutputLength: maximumMembersBytes }))
    else if (type === sectionTypes.seals) pending.seals = decodeSeals(payload)
    else if (type === sectionTypes.zeros) pending.zeros = payload
    else if (type === sectionTypes.checkpoint) {
      const { spans, members, seals, zeros } = pending
      if (spans === undefined || members === undefined || seals === undefined || zeros === undefined)
        return undefined
      const checkpoint = decodeCheckpoint(payload)
      if (!spans.every((span) => hasBoundedInput(span, checkpoint.codec))) return undefined
      const runs = [...decodeZeros(zeros, checkpoint.uncompressedOffset)]
      entries.push({ spans, members, seals, zeros: runs, checkpoint })
      pending = {}
      keepBytes = offset
    } else return undefined
  }
  return entries.length === 0 ? undefined : { entries, keepBytes }
}

function encodeHeader(identity: { readonly digest: Digest; readonly blobBytes: number }): Buffer {
  const payload = new FieldWriter()
    .u32(version)
    .bytes(Buffer.from(identity.digest.padEnd(136)))
    .count(identity.blobBytes)
  return encodeSection(sectionTypes.header, payload.done())
}

function encodeEntry(entry: NewEntry): Buffer {
  const spans = new FieldWriter()
  for (const span of entry.spans) {
    spans.count(span.compressedBitOffset).count(span.compressedBitEnd)
    spans.count(span.uncompressedOffset).count(span.uncompressedLength)
    spans
      .u32(span.crc32)
      .u8((span.atHeader ? 1 : 0) | (span.zero ? 4 : 0))
      .u16(span.windowLength)
      .u16(span.window.length)
      .bytes(span.window)
  }
  const seals = new FieldWriter()
  for (const seal of entry.seals) seals.u32(seal.index).bytes(seal.seal)
  const { checkpoint } = entry
  const scanner = encodeScannerState(checkpoint.scanner)
  const last = new FieldWriter()
    .u8(codecs.indexOf(checkpoint.codec))
    .count(checkpoint.compressedBitOffset)
    .count(checkpoint.uncompressedOffset)
    .u32(checkpoint.state.length)
    .bytes(checkpoint.state)
    .bytes(scanner)
  return Buffer.concat([
    encodeSection(sectionTypes.spans, spans.done()),
    encodeSection(sectionTypes.members, deflateSync(entry.members, { level: 1 })),
    encodeSection(sectionTypes.seals, seals.done()),
    encodeSection(sectionTypes.zeros, encodeZeros(entry.zeros)),
    encodeSection(sectionTypes.checkpoint, last.done()),
  ])
}

function decodeSpans(payload: Buffer): SpanEvent[] {
  const spans: SpanEvent[] = []
  for (const reader = new FieldReader(payload); reader.left > 0;) {
    const compressedBitOffset = reader.count()
    const compressedBitEnd = reader.count()
    const uncompressedOffset = reader.count()
    const uncompressedLength = reader.count()
    const crc32 = reader.u32()
    const flags = reader.u8()
    const windowLength = reader.u16()
    const windowBytes = reader.u16()
    if (windowLength > 32_768) throw new RegistryFsError('CORRUPT', 'journal: a window is too long')
    // Copied: a view would keep the whole journal in memory.
    const window = Buffer.from(reader.bytes(windowBytes))
    spans.push({
      kind: 'span',
      compressedBitOffset,
      compressedBitEnd,
      uncompressedOffset,
      uncompressedLength,
      crc32,
      window,
      windowLength,
      atHeader: (flags & 1) !== 0,
      zero: (flags & 4) !== 0,
    })
  }
  return spans
}

function decodeSeals(payload: Buffer): Seal[] {
  const seals: Seal[] = []
  for (const reader = new FieldReader(payload); reader.left > 0;) {
    seals.push({ index: reader.u32(), seal: Buffer.from(reader.bytes(32)) })
  }
  return seals
}

function decodeCheckpoint(payload: Buffer): Checkpoint {
  const reader = new FieldReader(payload)
  const codec = codecs[reader.u8()]
  if (codec === undefined) throw new RegistryFsError('CORRUPT', 'journal: an unknown codec')
  const compressedBitOffset = reader.count()
  const uncompressedOffset = reader.count()
  const state = Buffer.from(reader.bytes(reader.u32()))
  return {
    codec,
    compressedBitOffset,
    uncompressedOffset,
    state,
    scanner: decodeScannerState(Buffer.from(reader.bytes(reader.left))),
  }
}
