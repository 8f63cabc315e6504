import type { FileHandle } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'

interface Entry {
  readonly opening: Promise<FileHandle>
  users: number
  isDropped: boolean
}

/** Descriptors that stay open for the next use; beyond these the least recently used is closed. */
const maxOpen = 128

/** Keeps files and directories open between uses, so that each is looked up once and yet a store of thousands fits. */
export class OpenHandles {
  readonly #entries = new LRUCache<object, Entry>({
    max: maxOpen,
    dispose: (entry) => {
      entry.isDropped = true
      this.#closeUnused(entry)
    },
  })

  /** The handle of `owner` is good only while `work` runs. */
  async use<T>(
    owner: object,
    open: () => Promise<FileHandle>,
    work: (handle: FileHandle) => Promise<T>,
  ): Promise<T> {
    let entry = this.#entries.get(owner)
    if (entry === undefined) {
      entry = { opening: open(), users: 0, isDropped: false }
      this.#entries.set(owner, entry)
    }
    entry.users++
    try {
      return await work(await entry.opening)
    } finally {
      entry.users--
      if (entry.isDropped) this.#closeUnused(entry)
      else entry.opening.catch(() => this.#entries.delete(owner))
    }
  }

  /** The next use opens anew. */
  drop(owner: object): void {
    this.#entries.delete(owner)
  }

  close(): void {
    this.#entries.clear()
  }

  #closeUnused(entry: Entry): void {
    if (entry.users > 0) return
    entry.opening.then(
      async (handle) => handle.close().catch(() => undefined),
      () => undefined,
    )
  }
}
