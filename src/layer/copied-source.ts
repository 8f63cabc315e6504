import type { MemberFile } from '../blob/member-file.js'
import { seekSource } from '../blob/seek.js'
import {
  clampLength,
  type BackingFile,
  type ByteSource,
  type SourceReadOptions,
  type Whence,
} from '../blob/source.js'
import type { ReadOptions } from '../util/abort.js'

export interface CopiedSourceOptions {
  /** The member as its layer has it. */
  readonly source: ByteSource
  readonly onRead: (bytes: number) => void
  readonly onWanted: () => void
  readonly onPassthrough: () => void
  readonly onRelease: () => void
}

/** A member that somebody has open: read from its own file where there is one, else from its layer. */
export class CopiedSource implements ByteSource {
  readonly size: number
  readonly #options: CopiedSourceOptions
  #file: MemberFile | undefined
  #isReleased = false

  constructor(options: CopiedSourceOptions) {
    this.size = options.source.size
    this.#options = options
  }

  /** An acquired one, released with this. */
  take(file: MemberFile): void {
    if (this.#file !== undefined || this.#isReleased) file.release()
    else this.#file = file
  }

  get backing(): BackingFile | undefined {
    const file = this.#usable
    if (file === undefined) return undefined
    const { onWanted, onPassthrough } = this.#options
    return { descriptor: file.isTrusted ? file.descriptor : undefined, onWanted, onPassthrough }
  }

  async read(offset: number, length: number, options: SourceReadOptions = {}): Promise<Buffer> {
    const wanted = clampLength(this.size, offset, length)
    const file = this.#usable
    if (file === undefined || wanted === 0)
      return this.#note(await this.#options.source.read(offset, length, options))
    const target = options.scratch?.subarray(0, wanted) ?? Buffer.allocUnsafeSlow(wanted)
    if (await file.readInto(offset, target)) return this.#note(target)
    return this.#options.source.read(offset, length, options)
  }

  /** Nothing where there is a file: looking for a span would have the next ones inflated. */
  peek(offset: number, length: number): readonly Buffer[] | undefined {
    const parts = this.#usable === undefined ? this.#options.source.peek?.(offset, length) : undefined
    if (parts !== undefined) this.#options.onRead(parts.reduce((sum, part) => sum + part.length, 0))
    return parts
  }

  async load(offset: number, length: number, options?: ReadOptions): Promise<void> {
    if (this.#usable === undefined) await this.#options.source.load?.(offset, length, options)
  }

  /** The holes are those of the layer, before and after. */
  async seek(whence: Whence, offset: number, end: number, options?: ReadOptions): Promise<number> {
    return seekSource(this.#options.source, whence, offset, end, options)
  }

  release(): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.#file?.release()
    this.#file = undefined
    this.#options.onRelease()
  }

  get #usable(): MemberFile | undefined {
    return this.#file?.descriptor === undefined ? undefined : this.#file
  }

  #note(bytes: Buffer): Buffer {
    this.#options.onRead(bytes.length)
    return bytes
  }
}
