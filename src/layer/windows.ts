import { RegistryFsError } from '../util/errors.js'
import { fileStamp } from '../util/file-stamp.js'
import type { Range } from '../util/range.js'

/** The compressed windows of a layer's seek points, by span index. */
export interface Windows {
  /** Known without a look at the disk, or where it lies. */
  find(index: number): Buffer | FileRange
  /** Why none can be had any more where they lie; undefined: they can. */
  readonly loss?: string | undefined
}

export interface FileRange extends Range {
  readonly path: string
  /** What the bytes there must have. */
  readonly crc32: number
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

export interface FileWindowsOptions {
  readonly path: string
  /** Of the file at that path when it was looked into (util/file-stamp.ts). */
  readonly stamp: string
  /** File offset of window i; one more than there are windows. */
  readonly offsets: Float64Array
  readonly checksums: readonly number[]
}

/** At the end of an index file: read one by one, for all of them may be large and few are needed. */
export class FileWindows implements Windows {
  readonly #options: FileWindowsOptions

  constructor(options: FileWindowsOptions) {
    this.#options = options
  }

  /** Why the file is not the one that it was; undefined: it is. */
  get loss(): string | undefined {
    const { path, stamp } = this.#options
    const now = fileStamp(path)
    if (now === stamp) return undefined
    return `the index file ${path} is ${now === '' ? 'gone' : 'another one now'}`
  }

  find(index: number): Buffer | FileRange {
    const { path, offsets, checksums } = this.#options
    const offset = offsets[index] ?? 0
    const length = (offsets[index + 1] ?? offset) - offset
    return length === 0 ? none : { path, offset, length, crc32: checksums[index] ?? 0 }
  }
}
