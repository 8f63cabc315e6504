import type { Whence } from '../blob/source.js'
import { blockBytes } from '../tar/block.js'

/** A shorter run is not worth its place. */
export const shortestRunBytes = 4096
export const maximumRuns = 1_000_000

/** In 32 bits, so that a run takes 8 bytes; what lies beyond (2 TiB) counts as data. */
const maximumBlock = 0xffff_ffff

export interface ZeroRun {
  readonly offset: number
  readonly length: number
}

/**
 * The runs of zeros of a tar, in order, as blocks of 512 bytes, and how far it is known. It errs towards data only:
 * runs may be missing, but what is in it is zero.
 */
export class ZeroMap {
  readonly #maximumRuns: number
  #count = 0
  #starts = new Uint32Array(8)
  #ends = new Uint32Array(8)
  #knownBytes = 0
  #complete = false
  /** Grows when the map is full. */
  #shortestBlocks = shortestRunBytes / blockBytes

  constructor(runsAtMost = maximumRuns) {
    this.#maximumRuns = runsAtMost
  }

  get count(): number {
    return this.#count
  }

  /** One that begins within the last run, or where it ends, makes that one longer; one before it is ignored. */
  append(offset: number, length: number): void {
    const start = Math.ceil(offset / blockBytes)
    const end = Math.floor((offset + length) / blockBytes)
    if (end <= start || end > maximumBlock) return
    const last = this.#count - 1
    if (last >= 0) {
      if (start < (this.#starts[last] as number)) return
      const lastEnd = this.#ends[last] as number
      if (start <= lastEnd) {
        this.#ends[last] = Math.max(end, lastEnd)
        return
      }
      // Not before it has ended: it may have come in pieces.
      if (lastEnd - (this.#starts[last] as number) < this.#shortestBlocks) this.#count--
    }
    if (this.#count === this.#maximumRuns) this.#thin()
    if (this.#count === this.#starts.length) this.#grow()
    this.#starts[this.#count] = start
    this.#ends[this.#count] = end
    this.#count++
  }

  /** Blocks of the tar were scanned up to here, and all runs appended that had come out. */
  advance(frontierBytes: number): void {
    // A run that is shorter as yet may go on behind the frontier.
    const certain = Math.floor((frontierBytes - shortestRunBytes) / blockBytes) * blockBytes
    this.#knownBytes = Math.max(this.#knownBytes, certain, this.end)
  }

  complete(): void {
    this.#complete = true
  }

  /** Where the last run ends, as yet. */
  get end(): number {
    return this.#count === 0 ? 0 : (this.#ends[this.#count - 1] as number) * blockBytes
  }

  *runs(): Generator<ZeroRun> {
    for (let i = 0; i < this.#count; i++) yield this.#get(i)
  }

  #get(index: number): ZeroRun {
    const start = this.#starts[index] ?? 0
    return {
      offset: start * blockBytes,
      length: ((this.#ends[index] ?? start) - start) * blockBytes,
    }
  }

  /** Zeros from `offset` on; 0 where there is data, or nothing is known. */
  zerosAt(offset: number): number {
    const i = this.#find(offset)
    return i < 0 ? 0 : Math.max(0, (this.#ends[i] as number) * blockBytes - offset)
  }

  /** The first byte from `offset` on that is data; undefined when that is not known yet. */
  dataFrom(offset: number): number | undefined {
    const data = offset + this.zerosAt(offset)
    return this.#complete || data < this.#knownBytes ? data : undefined
  }

  /**
   * The first byte from `offset` on that lies in a hole, Infinity where none follows; undefined when that is not known
   * yet. While the map grows, data ends at the latest where knowledge does (docs/ARCHITECTURE.md, Decisions).
   */
  holeFrom(offset: number): number | undefined {
    if (this.zerosAt(offset) > 0) return offset
    const next = this.#find(offset) + 1
    if (next < this.#count) return (this.#starts[next] as number) * blockBytes
    if (this.#complete) return Infinity
    return this.#knownBytes > offset ? this.#knownBytes : undefined
  }

  /** ByteSource#seek within [offset, end); undefined when the answer is not known yet. */
  seek(whence: Whence, offset: number, end: number): number | undefined {
    const found = whence === 'hole' ? this.holeFrom(offset) : this.dataFrom(offset)
    // Zeros up to the end are all that it takes, whatever follows them.
    if (found === undefined && whence === 'data' && offset + this.zerosAt(offset) >= end) return end
    return found === undefined ? undefined : Math.min(found, end)
  }

  /** Bytes of [offset, offset + length) that lie in holes. */
  zerosWithin(offset: number, length: number): number {
    const end = offset + length
    let sum = 0
    for (let i = Math.max(0, this.#find(offset)); i < this.#count; i++) {
      const start = (this.#starts[i] as number) * blockBytes
      if (start >= end) break
      sum += Math.max(0, Math.min(end, (this.#ends[i] as number) * blockBytes) - Math.max(offset, start))
    }
    return sum
  }

  /** What lies in [offset, end), both rounded down to blocks, runs cut off at both. */
  within(offset: number, end: number): readonly ZeroRun[] {
    const first = offset - (offset % blockBytes)
    const last = end - (end % blockBytes)
    const runs: ZeroRun[] = []
    for (let i = Math.max(0, this.#find(first)); i < this.#count; i++) {
      const run = this.#get(i)
      if (run.offset >= last) break
      const start = Math.max(first, run.offset)
      const length = Math.min(last, run.offset + run.length) - start
      if (length > 0) runs.push({ offset: start, length })
    }
    return runs
  }

  /** Index of the last run that begins at or before `offset`; -1 before the first one. */
  #find(offset: number): number {
    let low = -1
    let high = this.#count - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#starts[middle] as number) * blockBytes <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Lets go of the shortest runs until half is free: those that matter most stay. */
  #thin(): void {
    const wanted = this.#maximumRuns >> 1
    while (this.#count > wanted) {
      this.#shortestBlocks *= 2
      let kept = 0
      for (let i = 0; i < this.#count; i++) {
        const start = this.#starts[i] as number
        const end = this.#ends[i] as number
        if (end - start < this.#shortestBlocks) continue
        this.#starts[kept] = start
        this.#ends[kept] = end
        kept++
      }
      this.#count = kept
    }
  }

  #grow(): void {
    const longer = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const column = new Uint32Array(old.length * 2)
      column.set(old)
      return column
    }
    this.#starts = longer(this.#starts)
    this.#ends = longer(this.#ends)
  }
}
