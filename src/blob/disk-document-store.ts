import { readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { digestAlgorithm, digestHex, digestOf, type Digest } from '../util/digest.js'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { CacheAccess } from './cache-directory.js'
import { writeAtomically } from './atomic-file.js'
import type { DocumentStore } from './document-store.js'

/** DIRECTORY/<algorithm>/<hex>. A file that does not have its name's digest is deleted and counts as a miss. */
export class DiskDocumentStore implements DocumentStore {
  readonly #directory: string
  readonly #access: CacheAccess
  readonly #log: Logger

  constructor(directory: string, access: CacheAccess, log: Logger) {
    this.#directory = directory
    this.#access = access
    this.#log = log
  }

  async load(digest: Digest): Promise<Buffer | undefined> {
    const path = this.#path(digest)
    const bytes = await readFile(path).catch(() => undefined)
    if (bytes === undefined) return undefined
    if (digestOf(bytes, digestAlgorithm(digest)) === digest) return bytes
    this.#log.warn({ path }, 'a cached document is damaged, dropping it')
    if (!this.#access.readOnly) await unlink(path).catch(() => undefined)
    return undefined
  }

  async save(digest: Digest, bytes: Buffer): Promise<void> {
    if (this.#access.readOnly) return
    try {
      await writeAtomically(this.#path(digest), [bytes])
    } catch (error) {
      this.#log.warn({ reason: describeError(error) }, 'a document cannot be cached, going on without it')
    }
  }

  #path(digest: Digest): string {
    return join(this.#directory, digestAlgorithm(digest), digestHex(digest))
  }
}
