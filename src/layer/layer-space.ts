import type { MemoryCache } from '../blob/memory-cache.js'
import type { ResidentSpace } from '../blob/resident-spans.js'
import type { TarSource } from './tar-source.js'

/** What of one layer is in memory and may be read from there without us, where anybody does. */
export class LayerSpace {
  /** Absent where nobody reads so. */
  readonly space: ResidentSpace | undefined

  /** `onTouched`: somebody has read from the span at that offset. */
  constructor({ resident }: MemoryCache, digest: string, onTouched: (offset: number) => void) {
    this.space = resident?.newSpaceOf(digest)
    if (this.space !== undefined) this.space.onTouched = onTouched
  }

  /** As far as we would show it; nothing of a source that does not want to be told of what was read. */
  show(source: TarSource | undefined, shownBytes: number): void {
    this.space?.showUpTo(source?.touch === undefined ? 0 : shownBytes)
  }
}
