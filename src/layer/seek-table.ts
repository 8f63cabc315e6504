import type { SpanEvent } from '../native.js'

/** One span: a seek point with the uncompressed bytes from there to the next one. */
export type Span = Omit<SpanEvent, 'kind' | 'window'>

/** Struct of arrays, growing: a span costs 38 bytes, whatever the layer's size. Spans are appended in order, without gaps. */
export class SeekTable {
  #count = 0
  #compressedBits = new Float64Array(8)
  #compressedBitEnds = new Float64Array(8)
  #offsets = new Float64Array(8)
  #checksums = new Uint32Array(8)
  #windowLengths = new Uint16Array(8)
  #flags = new Uint8Array(8)
  #end = 0

  get count(): number {
    return this.#count
  }

  /** Uncompressed bytes that the spans cover, from 0. */
  get uncompressedBytes(): number {
    return this.#end
  }

  append(span: Span): void {
    const i = this.#count
    if (i === this.#offsets.length) this.#grow()
    this.#compressedBits[i] = span.compressedBitOffset
    this.#compressedBitEnds[i] = span.compressedBitEnd
    this.#offsets[i] = span.uncompressedOffset
    this.#checksums[i] = span.crc32
    // 32768 does not fit in 16 bits with 0; 0 means no window, so the length is stored less one.
    this.#windowLengths[i] = Math.max(0, span.windowLength - 1)
    this.#flags[i] = (span.atHeader ? 1 : 0) | (span.windowLength > 0 ? 2 : 0) | (span.zero ? 4 : 0)
    this.#end = span.uncompressedOffset + span.uncompressedLength
    this.#count++
  }

  get(index: number): Span {
    const uncompressedOffset = this.#offsets[index] ?? 0
    const next = index + 1 < this.#count ? (this.#offsets[index + 1] ?? 0) : this.#end
    const flags = this.#flags[index] ?? 0
    return {
      compressedBitOffset: this.#compressedBits[index] ?? 0,
      compressedBitEnd: this.#compressedBitEnds[index] ?? 0,
      uncompressedOffset,
      uncompressedLength: next - uncompressedOffset,
      crc32: this.#checksums[index] ?? 0,
      windowLength: (flags & 2) === 0 ? 0 : (this.#windowLengths[index] ?? 0) + 1,
      atHeader: (flags & 1) !== 0,
      zero: (flags & 4) !== 0,
    }
  }

  /** Index of the span that holds the uncompressed byte at `offset`; undefined beyond the last one. */
  find(offset: number): number | undefined {
    if (offset < 0 || offset >= this.#end) return undefined
    let low = 0
    let high = this.#count - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#offsets[middle] ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  #grow(): void {
    const length = this.#offsets.length * 2
    const longer = <T extends Float64Array | Uint32Array | Uint16Array | Uint8Array>(
      old: T,
      make: new (length: number) => T,
    ): T => {
      const column = new make(length)
      column.set(old)
      return column
    }
    this.#compressedBits = longer(this.#compressedBits, Float64Array)
    this.#compressedBitEnds = longer(this.#compressedBitEnds, Float64Array)
    this.#offsets = longer(this.#offsets, Float64Array)
    this.#checksums = longer(this.#checksums, Uint32Array)
    this.#windowLengths = longer(this.#windowLengths, Uint16Array)
    this.#flags = longer(this.#flags, Uint8Array)
  }
}
