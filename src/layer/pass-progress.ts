import { chunkBytes, chunkCount } from '../blob/chunk-cache.js'
import type { SpanEvent } from '../native.js'
import type { TarMember } from '../tar/member.js'
import { RegistryFsError } from '../util/errors.js'
import { Signal } from '../util/signal.js'
import { isBookkeeping } from './bookkeeping.js'
import type { Codec } from './codec.js'
import type { JournalEntry, Seal } from './journal.js'
import { LayerTree } from './layer-tree.js'
import type { MemberTable } from './member-table.js'
import { SeekTable } from './seek-table.js'
import { MemoryWindows } from './windows.js'
import { ZeroMap } from './zero-map.js'

/** What a first pass has found so far; readers look at it and wait for `changed`. */
export class PassProgress {
  /** Known once the first bytes have come, and so before there are spans. */
  codec: Codec = 'gzip'
  readonly tree = new LayerTree()
  readonly spans = new SeekTable()
  readonly windows = new MemoryWindows()
  readonly zeros = new ZeroMap()
  /** 32 bytes for each chunk (native.ts, chunkSeal); zeros where `sealed` is 0. */
  readonly seals: Buffer
  readonly sealed: Uint8Array
  /** Bytes of the blob that were inflated, and of the tar that came out. */
  frontierCompressed = 0
  frontierUncompressed = 0
  /** Where the newest block begins: it is shown once there is another, or the blob is proven. */
  #heldFrom = 0
  #isHidden = false
  readonly changed = new Signal()
  /** `shownEnd` is another. */
  onShown: (() => void) | undefined

  constructor(blobBytes: number) {
    this.seals = Buffer.alloc(32 * chunkCount(blobBytes))
    this.sealed = new Uint8Array(chunkCount(blobBytes))
  }

  /** Grows with every byte that was read. */
  get workDone(): number {
    return this.frontierCompressed + this.frontierUncompressed
  }

  get members(): MemberTable {
    return this.tree.members
  }

  addMember(member: TarMember): void {
    if (!isBookkeeping(member)) this.tree.add(member)
  }

  addSpan(span: SpanEvent): void {
    this.spans.append(span)
    this.windows.append(span.window)
  }

  /** Offset and length of one run after another. */
  addZeros(runs: Float64Array): void {
    for (let i = 0; i + 1 < runs.length; i += 2) this.zeros.append(runs[i] as number, runs[i + 1] as number)
  }

  /** Everything up to here was seen. */
  advance(frontierUncompressed: number): void {
    const isFurther = frontierUncompressed > this.frontierUncompressed
    if (isFurther) this.#heldFrom = this.frontierUncompressed
    this.frontierUncompressed = frontierUncompressed
    this.zeros.advance(frontierUncompressed)
    if (isFurther) this.onShown?.()
  }

  /** The newest block too: there will be no other, and the blob has its digest. */
  showAll(): void {
    this.#heldFrom = this.frontierUncompressed
    this.onShown?.()
  }

  /** The pass has failed, and nothing proves what it has found: at once, for its end takes a while yet. */
  hide(): void {
    this.#isHidden = true
    this.onShown?.()
  }

  /** All before it may be shown to readers. */
  get shownEnd(): number {
    return this.#isHidden ? 0 : this.#heldFrom
  }

  /**
   * How many of `length` bytes from `offset` readers may have. Not the end of the tar: a layer turns out to be another
   * than its digest says at its last byte, and whoever has read all of it by then was not told.
   */
  shownBytes(offset: number, length: number): number {
    return Math.max(0, Math.min(length, this.shownEnd - offset))
  }

  addSeal(seal: Seal): void {
    if (seal.index >= this.sealed.length) return
    seal.seal.copy(this.seals, seal.index * 32)
    this.sealed[seal.index] = 1
  }

  sealOf(index: number): Buffer | undefined {
    return this.sealed[index] === 1 ? this.seals.subarray(index * 32, index * 32 + 32) : undefined
  }

  /** Throws when the entries leave a chunk without its seal. */
  restore(entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      for (const span of entry.spans) this.addSpan(span)
      for (const member of entry.members) this.addMember(member)
      for (const seal of entry.seals) this.addSeal(seal)
      for (const run of entry.zeros) this.zeros.append(run.offset, run.length)
      this.frontierCompressed = Math.floor(entry.checkpoint.compressedBitOffset / 8)
      this.advance(entry.checkpoint.uncompressedOffset)
    }
    if (this.sealed.subarray(0, Math.floor(this.frontierCompressed / chunkBytes)).includes(0))
      throw new RegistryFsError('CORRUPT', 'journal: a seal is missing')
  }
}
