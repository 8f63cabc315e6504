import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { RegistryFsError } from '../util/errors.js'
import { fileError } from './file-error.js'
import type { OpenHandles } from './open-handles.js'

/** A file that somebody may change while we read: then it is gone for us, for good. */
export class LocalFile {
  /** For errors, and for programs that are to read it themselves. */
  readonly path: string
  readonly #handles: OpenHandles
  readonly #open: () => Promise<FileHandle>
  #identity: string | undefined
  #isGone = false

  /** `identity`: what it must be; undefined: what it is at its first read. */
  constructor(path: string, handles: OpenHandles, open: () => Promise<FileHandle>, identity?: string) {
    this.path = path
    this.#handles = handles
    this.#open = open
    this.#identity = identity
  }

  get isGone(): boolean {
    return this.#isGone
  }

  /** In bytes. */
  async size(): Promise<number> {
    return this.#use(async (handle) => this.#check(await handle.stat({ bigint: true })))
  }

  /** Whether the path still leads to the file that it was. */
  async isCurrent(): Promise<boolean> {
    const now = await this.#open().catch(() => undefined)
    if (now === undefined) return false
    try {
      return !this.#isGone && identityOf(await now.stat({ bigint: true })) === this.#identity
    } finally {
      await now.close()
    }
  }

  /** Fills all of `target`. GONE when the file is not the one that it was, CORRUPT when it ends before. */
  async readInto(offset: number, target: Buffer): Promise<void> {
    await this.#use(async (handle) => {
      if (this.#identity === undefined) this.#check(await handle.stat({ bigint: true }))
      for (let filled = 0; filled < target.length;) {
        const { bytesRead } = await handle.read(target, filled, target.length - filled, offset + filled)
        filled += bytesRead
        if (bytesRead > 0) continue
        this.#check(await handle.stat({ bigint: true }))
        throw new RegistryFsError('CORRUPT', `${this.path} ends at ${String(offset + filled)}`)
      }
      // Afterwards: what was read before a change is still right.
      this.#check(await handle.stat({ bigint: true }))
    })
  }

  #check(status: BigIntStats): number {
    const identity = identityOf(status)
    this.#identity ??= identity
    if (identity !== this.#identity) throw this.#lost()
    return Number(status.size)
  }

  #lost(): RegistryFsError {
    this.#isGone = true
    this.#handles.drop(this)
    return new RegistryFsError('GONE', `${this.path} has changed since it was first read`)
  }

  async #use<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    if (this.#isGone) throw this.#lost()
    try {
      return await this.#handles.use(this, this.#open, work)
    } catch (error) {
      const known = fileError(error, this.path)
      if (known.code !== 'NOT_FOUND') throw known
      this.#isGone = true
      throw new RegistryFsError('GONE', known.message)
    }
  }
}

/** Of a state of a file: which one, how long, when last written. */
export function identityOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(':')
}
