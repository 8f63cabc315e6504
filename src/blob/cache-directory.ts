import { constants } from 'node:fs'
import { access, readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFile } from '../native.js'
import { describeError, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { makeDirectories } from '../util/make-directories.js'
import { temporaryPattern } from './atomic-file.js'

/**
 * Where everything that outlives the process lies. One process at a time writes there, by flock on `lock`; others
 * read what it has. A directory that cannot be used costs the persistence, never the mount.
 *
 *   chunks/  members/  indexes/  documents/  tags/  lock
 */
export interface CacheAccess {
  /** Turns false when the process that wrote there has ended, and this one does. */
  readonly readOnly: boolean
}

export class CacheDirectory implements CacheAccess {
  readonly path: string
  readonly #log: Logger
  #hasLock = false
  #isInUse = false
  #readOnlyReason: string | undefined = 'it was not opened'

  private constructor(path: string, log: Logger) {
    this.path = path
    this.#log = log
  }

  static async open(path: string, log: Logger): Promise<CacheDirectory> {
    const directory = new CacheDirectory(path, log)
    const reason = await directory.#tryClaim()
    directory.#readOnlyReason = reason
    if (reason !== undefined) log.warn(`${reason}; going on without writing to it`)
    return directory
  }

  /** Why nothing may be written; undefined when this process is the writer. */
  get readOnlyReason(): string | undefined {
    return this.#readOnlyReason
  }

  /** Whether that is because another process writes there, as it may until it ends. */
  get isInUse(): boolean {
    return this.#isInUse
  }

  get readOnly(): boolean {
    return this.#readOnlyReason !== undefined
  }

  /** Whether this process writes there now. `learn`: what others have left is looked at once more before it does. */
  async claimAgain(learn: () => Promise<void>): Promise<boolean> {
    if (!this.readOnly) return true
    const reason = await this.#tryClaim()
    if (reason === undefined) await learn()
    this.#readOnlyReason = reason
    if (reason !== undefined) return false
    this.#log.info({ directory: this.path }, 'the cache directory can be written to now')
    return true
  }

  async #tryClaim(): Promise<string | undefined> {
    return this.#claim().catch(
      (error: unknown) => `the cache directory ${this.path} cannot be used: ${describeError(error)}`,
    )
  }

  async #claim(): Promise<string | undefined> {
    const { path } = this
    await makeDirectories(path)
    const status = await stat(path)
    const user = process.getuid?.() ?? status.uid
    // Someone else's directory could be filled with someone else's bytes while we run.
    if (status.uid !== user && status.uid !== 0) {
      throw new RegistryFsError('HOST', `it belongs to user ${String(status.uid)}, not to ${String(user)}`)
    }
    if ((status.mode & 0o022) !== 0) throw new RegistryFsError('HOST', 'others may write to it (chmod go-w)')
    await access(path, constants.W_OK)
    const lock = join(path, 'lock')
    this.#hasLock ||= lockFile(lock)
    this.#isInUse = !this.#hasLock
    if (this.#isInUse) {
      const owner = (await readFile(lock, 'utf8').catch(() => '')).trim()
      return `the cache directory ${path} is in use by another registryfs${owner === '' ? '' : ` (pid ${owner})`}`
    }
    await writeFile(lock, `${String(process.pid)}\n`, { flag: 'r+' })
    for (const folder of ['documents', 'indexes', 'tags']) await removeUnfinished(join(path, folder))
    return undefined
  }
}

/** What a killed process was writing; the chunk store does the same as it learns what it has. */
async function removeUnfinished(folder: string): Promise<void> {
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  for (const name of names)
    if (temporaryPattern.test(name)) await unlink(join(folder, name)).catch(() => undefined)
}
