import { unlink } from 'node:fs/promises'
import type { CacheAccess } from '../blob/cache-directory.js'
import { describeError, RegistryFsError } from '../util/errors.js'
import { fileStamp } from '../util/file-stamp.js'
import { removeJournal } from './journal.js'
import type { FirstPass, FirstPassResult } from './first-pass.js'
import { loadIndex, saveIndex } from './index-file.js'
import { contentsOfIndex, type LayerBytes, type LayerContents } from './layer-contents.js'
import type { Windows } from './windows.js'

/** The files that one layer has in the cache directory beside its chunks: `<path>.idx` and `<path>.journal`. */
export class IndexKeeper {
  readonly #path: string
  readonly #access: CacheAccess
  /** Of the index; 0 while there is none. */
  fileBytes = 0
  /** Why it could not be saved. */
  problem: string | undefined
  /** Of the file that was loaded or saved last. */
  #loadedStamp = ''
  /** Of one that turned out to be damaged, and may not be removed: it is as good as none until it is another one. */
  #uselessStamp: string | undefined

  constructor(path: string, access: CacheAccess) {
    this.#path = path
    this.#access = access
  }

  /** Undefined: nothing is to be journaled. */
  get journalPath(): string | undefined {
    return this.#access.readOnly ? undefined : this.#journalPath
  }

  /** Undefined: there is none. Throws UNREADABLE. */
  async load(bytes: LayerBytes): Promise<LayerContents | undefined> {
    const { digest, size } = bytes.descriptor
    // Before it is read: one that takes its place meanwhile is another one.
    const stamp = fileStamp(this.#indexPath)
    if (stamp === this.#uselessStamp) return undefined
    const loading = loadIndex(this.#indexPath, { digest, blobBytes: size }, this.#access.readOnly)
    const loaded = await loading.catch((error: unknown) => {
      throw error instanceof RegistryFsError ? error.within({ layer: digest }) : error
    })
    if (loaded === undefined) return undefined
    this.fileBytes = loaded.fileBytes
    this.#loadedStamp = stamp
    return contentsOfIndex(loaded.index, bytes)
  }

  /** Resolves to where the windows are then: those in memory can go. */
  async save(pass: FirstPass, result: FirstPassResult, bytes: LayerBytes): Promise<Windows> {
    const { progress } = pass
    if (this.#access.readOnly) return progress.windows
    const saving = saveIndex(this.#indexPath, {
      digest: bytes.descriptor.digest,
      codec: progress.codec,
      blobBytes: bytes.descriptor.size,
      diffId: result.diffId,
      tarBytes: result.tarBytes,
      spans: progress.spans,
      windows: progress.windows,
      zeros: progress.zeros,
      members: progress.members,
      seals: progress.seals,
    })
    const saved = await saving.catch((error: unknown) => {
      this.problem = describeError(error)
      throw error
    })
    this.problem = undefined
    this.fileBytes = saved.fileBytes
    this.#loadedStamp = fileStamp(this.#indexPath)
    return saved.windows
  }

  /** That was loaded or saved; where the file stays, it is not loaded again. */
  async removeIndex(): Promise<void> {
    this.fileBytes = 0
    this.#uselessStamp = this.#loadedStamp
    if (!this.#access.readOnly) await unlink(this.#indexPath).catch(() => undefined)
  }

  async removeJournal(): Promise<void> {
    if (!this.#access.readOnly) await removeJournal(this.#journalPath)
  }

  get #indexPath(): string {
    return `${this.#path}.idx`
  }

  get #journalPath(): string {
    return `${this.#path}.journal`
  }
}
