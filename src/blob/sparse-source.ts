import type { ReadOptions } from '../util/abort.js'
import { seekSource } from './seek.js'
import { clampLength, type ByteSource, type SourceReadOptions, type Whence } from './source.js'

/**
 * A file of which another source has the data only: its regions one after another, without the holes between them.
 * `regions`: offset and length in the file of each in turn, in order, not empty, apart.
 */
export class SparseSource implements ByteSource {
  readonly size: number
  readonly #source: ByteSource
  readonly #regions: Float64Array
  /** Where each region begins in the source, and where the last one ends. */
  readonly #starts: Float64Array

  constructor(source: ByteSource, size: number, regions: Float64Array) {
    this.size = size
    this.#source = source
    this.#regions = regions
    this.#starts = new Float64Array(regions.length / 2 + 1)
    for (let i = 0; i < regions.length / 2; i++)
      this.#starts[i + 1] = (this.#starts[i] as number) + (regions[2 * i + 1] as number)
  }

  async read(offset: number, length: number, options: SourceReadOptions = {}): Promise<Buffer> {
    const wanted = clampLength(this.size, offset, length)
    const end = offset + wanted
    const first = this.#find(offset)
    if (first < this.#count && this.#offset(first) <= offset && end <= this.#end(first))
      return this.#source.read(this.#start(first) + offset - this.#offset(first), wanted, options)
    let last = first
    while (last < this.#count && this.#offset(last) < end) last++
    const target = options.scratch?.subarray(0, wanted) ?? Buffer.allocUnsafeSlow(wanted)
    // What lies between two regions here lies between no two bytes there.
    const from = first === last ? 0 : this.#start(first) + Math.max(0, offset - this.#offset(first))
    const until =
      first === last ? 0 : this.#start(last - 1) + Math.min(end, this.#end(last - 1)) - this.#offset(last - 1)
    const data = await this.#source.read(from, until - from, { signal: options.signal })
    target.fill(0)
    for (let i = first, taken = 0; i < last; i++) {
      const start = Math.max(offset, this.#offset(i))
      const bytes = Math.min(end, this.#end(i)) - start
      data.copy(target, start - offset, taken, taken + bytes)
      taken += bytes
    }
    return target
  }

  async seek(whence: Whence, offset: number, end: number, options?: ReadOptions): Promise<number> {
    const last = Math.min(end, this.size)
    for (let at = offset, i = this.#find(offset); at < last; i++) {
      if (i >= this.#count || at < this.#offset(i)) {
        if (whence === 'hole') return at
        if (i >= this.#count) break
        at = this.#offset(i)
        if (at >= last) break
      }
      const shift = this.#start(i) - this.#offset(i)
      const regionEnd = Math.min(last, this.#end(i))
      const found = await seekSource(this.#source, whence, at + shift, regionEnd + shift, options)
      if (found - shift < regionEnd) return found - shift
      at = regionEnd
    }
    return last
  }

  /** The first region that ends behind `offset`. */
  #find(offset: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#end(middle) > offset) high = middle
      else low = middle + 1
    }
    return low
  }

  get #count(): number {
    return this.#regions.length / 2
  }

  #offset(region: number): number {
    return this.#regions[2 * region] as number
  }

  #end(region: number): number {
    return this.#offset(region) + (this.#regions[2 * region + 1] as number)
  }

  #start(region: number): number {
    return this.#starts[region] as number
  }
}
