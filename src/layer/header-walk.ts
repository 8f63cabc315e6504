/**
 * Finds the members of a tar that is not compressed without reading their content: the chunks that hold headers are
 * fetched, what lies between them is stepped over where that spares a request. Small members are met by reading on,
 * in ranges that the chunk cache makes longer as the walk goes forward.
 */
import type { CachedSource } from '../blob/cached-source.js'
import { chunkBytes } from '../blob/chunk-cache.js'
import { TarScanner, type TarScannerOptions } from '../tar/tar-scanner.js'
import { throwIfAborted } from '../util/abort.js'
import type { LayerContents } from './layer-contents.js'
import { PassProgress } from './pass-progress.js'
import { PlainSource } from './plain-source.js'

/** Content that is shorter is read through: about what arrives in the time of a request. */
const readThroughBytes = 4 << 20

export class HeaderWalk {
  readonly progress: PassProgress
  readonly source: PlainSource
  readonly #blob: CachedSource
  readonly #signal: AbortSignal

  constructor(blob: CachedSource, signal: AbortSignal) {
    this.#blob = blob
    this.#signal = signal
    this.progress = new PassProgress(blob.size)
    // All may be data as far as anybody knows.
    this.progress.zeros.complete()
    this.source = new PlainSource(blob, this.progress.zeros)
  }

  /** Nothing of them is proven: only the whole blob has a digest. */
  async run(): Promise<LayerContents> {
    await this.#walk()
    const { tree, zeros } = this.progress
    return { tree, source: this.source, zeros, tarBytes: this.#blob.size, seekPoints: 0, isProven: false }
  }

  async #walk(): Promise<void> {
    const { progress } = this
    const { size } = this.#blob
    const onMember: TarScannerOptions['onMember'] = (member) => {
      progress.addMember(member)
    }
    let scanner = new TarScanner({ onMember })
    let offset = 0
    while (offset < size) {
      throwIfAborted(this.#signal)
      const bytes = await this.#blob.read(offset, chunkBytes - (offset % chunkBytes), {
        signal: this.#signal,
      })
      scanner.push(bytes, offset)
      offset += bytes.length
      progress.frontierCompressed = offset
      progress.advance(offset)
      progress.changed.notify()
      const state = scanner.state()
      if (state.ended) return
      if (state.carry.length === 0 && state.headerOffset - offset >= readThroughBytes) {
        offset = Math.min(state.headerOffset, size)
        scanner = new TarScanner({ onMember, resume: { ...state, offset } })
      }
    }
    scanner.end(size)
  }
}
