import { makeResidentTable, type ResidentTable } from '../native.js'
import type { Placed } from './source.js'

/** How often a span that is read on and on is told of: it keeps its place in the memory cache, and its pass goes on keeping. */
const epochMs = 250

/** Where a span is shown by the thread that inflated it. */
export interface SpanOffer extends Placed {
  readonly table: ResidentTable
}

/** The uncompressed bytes of one layer, as far as they lie in memory. */
export interface ResidentSpace extends Placed {
  /** Only so many bytes from the start are shown, none at first. */
  showUpTo(bytes: number): void
  /** Returns how to withdraw them: then nobody reads them any more. Until then they must not change. */
  publish(offset: number, bytes: Buffer): () => void
  /** Files that are open there are not where they were: reads of them are asked here from now on. */
  closeFiles(): void
  /** For who inflates the span at `offset`: it can be read as soon as it is inflated, until it is published or retracted. */
  offer(offset: number): SpanOffer
  /** What was offered there is not kept. */
  retract(offset: number): void
  /** Whatever is still being inflated for it is of no use any more. */
  renew(): void
  /** Called with the offset of a span that was read without anybody here having seen it, some time afterwards. */
  onTouched: (offset: number) => void
}

/**
 * What reads are answered from on the threads that receive them, without waking JavaScript, which says what that is: spans
 * of layers as they come to the memory cache and leave it, how far each layer may be shown, and which files are open.
 */
export class ResidentSpans {
  readonly table: ResidentTable
  readonly #spaces = new Map<string, ResidentSpace>()
  readonly #byNumber: ResidentSpace[] = []
  /** The space that each open file is in. */
  readonly #files = new Map<number, number>()
  #isEpochEnding = false

  constructor(table = makeResidentTable()) {
    this.table = table
  }

  /** Of the layer with this digest, the same each time. */
  spaceOf(digest: string): ResidentSpace {
    return this.#spaces.get(digest) ?? this.newSpaceOf(digest)
  }

  /** For another who reads a layer with this digest: what is published from now on is there, and only that. */
  newSpaceOf(digest: string): ResidentSpace {
    const made = this.#makeSpace(this.#byNumber.length)
    this.#byNumber.push(made)
    // What is inflated for the one before will be published here.
    this.#spaces.get(digest)?.renew()
    this.#spaces.set(digest, made)
    return made
  }

  openFile(handle: number, { space, offset }: Placed, size: number): void {
    this.#files.set(handle, space)
    this.table.openFile(handle, space, offset, size)
  }

  closeFile(handle: number): void {
    if (this.#files.delete(handle)) this.table.closeFile(handle)
  }

  closeAllFiles(): void {
    this.#files.clear()
    this.table.closeAllFiles()
  }

  /** Reads that were answered. */
  get answers(): number {
    return this.table.answers()
  }

  /** Space and offset of one span after another, as the channel tells them. */
  touched(places: readonly number[]): void {
    for (let i = 0; i + 1 < places.length; i += 2)
      this.#byNumber[places[i] as number]?.onTouched(places[i + 1] as number)
    if (this.#isEpochEnding) return
    this.#isEpochEnding = true
    setTimeout(() => {
      this.#isEpochEnding = false
      this.table.beginEpoch()
    }, epochMs).unref()
  }

  #makeSpace(space: number): ResidentSpace {
    const { table } = this
    return {
      space,
      offset: 0,
      showUpTo: (bytes) => {
        table.showUpTo(space, Math.min(bytes, Number.MAX_SAFE_INTEGER))
      },
      publish: (offset, bytes) => {
        table.publish(space, offset, bytes)
        return () => {
          table.withdraw(space, offset)
        }
      },
      closeFiles: () => {
        for (const [handle, at] of this.#files) if (at === space) this.closeFile(handle)
      },
      offer: (offset) => ({ table, space, offset }),
      retract: (offset) => {
        table.retract(space, offset)
      },
      renew: () => {
        table.renew(space)
      },
      onTouched: () => undefined,
    }
  }
}
