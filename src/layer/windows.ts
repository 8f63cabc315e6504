import { open } from 'node:fs/promises'
import { RegistryFsError } from '../util/errors.js'

/** The compressed windows of a layer's seek points, by span index. */
export interface Windows {
  load(index: number): Promise<Buffer>
}

const none = Buffer.alloc(0)

/** While the first pass runs. */
export class MemoryWindows implements Windows {
  readonly #windows: Buffer[] = []

  append(window: Buffer): void {
    this.#windows.push(window.length === 0 ? none : window)
  }

  get(index: number): Buffer {
    return this.#windows[index] ?? none
  }

  async load(index: number): Promise<Buffer> {
    return Promise.resolve(this.get(index))
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

  async load(index: number): Promise<Buffer> {
    const offset = this.#offsets[index] ?? 0
    const length = (this.#offsets[index + 1] ?? offset) - offset
    if (length === 0) return none
    const handle = await open(this.#path, 'r')
    try {
      const window = Buffer.allocUnsafe(length)
      const { bytesRead } = await handle.read(window, 0, length, offset)
      if (bytesRead !== length) throw new RegistryFsError('CORRUPT', 'the index file is too short')
      return window
    } finally {
      await handle.close()
    }
  }
}
