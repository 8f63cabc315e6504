import { RegistryFsError } from '../util/errors.js'
import type { Range } from '../util/range.js'

/** The compressed windows of a layer's seek points, by span index. */
export interface Windows {
  /** Known without a look at the disk, or where it lies. */
  find(index: number): Buffer | FileRange
}

export interface FileRange extends Range {
  readonly path: string
}

const none = Buffer.alloc(0)

/** As data have them (2 KiB for each MiB), those of a quarter of a TiB; each may have 32 KiB. */
const maximumBytes = 512 << 20

/** While the first pass runs. */
export class MemoryWindows implements Windows {
  readonly #windows: Buffer[] = []
  readonly #maximumBytes: number
  /** Of all. */
  bytes = 0

  constructor(maximumBytesOfTest = maximumBytes) {
    this.#maximumBytes = maximumBytesOfTest
  }

  /** LIMIT when they would be more than memory and index are to hold. */
  append(window: Buffer): void {
    this.bytes += window.length
    if (this.bytes > this.#maximumBytes) {
      const most = `${String(this.#maximumBytes >> 20)} MiB`
      throw new RegistryFsError(
        'LIMIT',
        `the seek index of the layer would need more than ${most} of windows`,
      )
    }
    this.#windows.push(window.length === 0 ? none : window)
  }

  find(index: number): Buffer {
    return this.#windows[index] ?? none
  }
}

/** At the end of an index file: read one by one, for all of them may be large and few are needed. */
export class FileWindows implements Windows {
  readonly #path: string
  /** File offset of window i; one more than there are windows. */
  readonly #offsets: Float64Array

  constructor(path: string, offsets: Float64Array) {
    this.#path = path
    this.#offsets = offsets
  }

  find(index: number): Buffer | FileRange {
    const offset = this.#offsets[index] ?? 0
    const length = (this.#offsets[index + 1] ?? offset) - offset
    return length === 0 ? none : { path: this.#path, offset, length }
  }
}
