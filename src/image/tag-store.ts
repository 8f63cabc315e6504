import { createHash } from 'node:crypto'
import { readFile, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { CacheAccess } from '../blob/cache-directory.js'
import { writeAtomically } from '../blob/atomic-file.js'
import { tryParseDigest, type Digest } from '../util/digest.js'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'

/**
 * What each tag pointed at when it was last looked up, over restarts: a HEAD that still says so saves the GET of a
 * manifest that is in the document store. One file per tag, named by the sha256 of its reference.
 */
export class TagStore {
  readonly #directory: string
  readonly #access: CacheAccess
  readonly #log: Logger

  constructor(directory: string, access: CacheAccess, log: Logger) {
    this.#directory = directory
    this.#access = access
    this.#log = log
  }

  async load(reference: string): Promise<Digest | undefined> {
    const text = await readFile(this.#path(reference), 'utf8').catch(() => '')
    const [digest, name] = text.split('\n')
    return name === reference ? tryParseDigest(digest ?? '') : undefined
  }

  /** When the registry last said so, as far as this process or another could write it down. */
  async checkedAt(reference: string): Promise<Date | undefined> {
    return (await stat(this.#path(reference)).catch(() => undefined))?.mtime
  }

  /** It is still the same. */
  async touch(reference: string): Promise<void> {
    if (this.#access.readOnly) return
    const now = new Date()
    await utimes(this.#path(reference), now, now).catch(() => undefined)
  }

  async save(reference: string, digest: Digest): Promise<void> {
    if (this.#access.readOnly) return
    await writeAtomically(this.#path(reference), [Buffer.from(`${digest}\n${reference}\n`)]).catch(
      (error: unknown) => {
        this.#log.warn({ reason: describeError(error) }, 'a tag cannot be remembered')
      },
    )
  }

  #path(reference: string): string {
    return join(this.#directory, createHash('sha256').update(reference).digest('hex'))
  }
}
