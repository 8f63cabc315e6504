import { constants, type BigIntStats, type Dirent } from 'node:fs'
import { lstat, open, readdir, readlink, type FileHandle } from 'node:fs/promises'
import { RegistryFsError } from '../util/errors.js'
import { fileError, isMissing } from './file-error.js'
import type { OpenHandles } from './open-handles.js'

/** open(2): a descriptor that only names the file. Nothing happens at a device or a fifo. Not in Node's constants. */
const openPath = 0o10000000

/**
 * A directory whose content somebody else wrote. Every step below the root goes from an open descriptor by one
 * name and does not follow symbolic links (/proc/self/fd/N/NAME with O_NOFOLLOW, which is openat(2)), so that nothing in
 * it leads out of it, however it is changed meanwhile.
 */
export class SafeDirectory {
  readonly handles: OpenHandles
  readonly #parent: SafeDirectory | undefined
  readonly #name: Buffer
  /** For errors. */
  readonly path: string

  private constructor(handles: OpenHandles, parent: SafeDirectory | undefined, name: Buffer, path: string) {
    this.handles = handles
    this.#parent = parent
    this.#name = name
    this.path = path
  }

  /** The way to the root itself may lead through symbolic links: whoever starts us has named it. */
  static root(handles: OpenHandles, path: string): SafeDirectory {
    return new SafeDirectory(handles, undefined, Buffer.from(path), path)
  }

  /** No I/O: whether it is there shows itself when it is used. */
  child(name: Buffer | string): SafeDirectory {
    const bytes = Buffer.from(name as Buffer)
    return new SafeDirectory(this.handles, this, bytes, `${this.path}/${bytes.toString()}`)
  }

  descendant(path: string): SafeDirectory {
    return path.split('/').reduce<SafeDirectory>((directory, name) => directory.child(name), this)
  }

  /** Of the directory itself. */
  async stat(): Promise<BigIntStats> {
    return this.#use(async (handle) => handle.stat({ bigint: true }))
  }

  /** Undefined when there is no such name. */
  async statOf(name: Buffer | string): Promise<BigIntStats | undefined> {
    return this.#use(async ({ fd }) => {
      try {
        return await lstat(below(fd, name), { bigint: true })
      } catch (error) {
        if (isMissing(error)) return undefined
        throw error
      }
    })
  }

  async list(): Promise<readonly Dirent<Buffer>[]> {
    return this.#use(async ({ fd }) =>
      readdir(`/proc/self/fd/${String(fd)}`, { withFileTypes: true, encoding: 'buffer' }),
    )
  }

  async linkOf(name: Buffer): Promise<Buffer> {
    return this.#use(async ({ fd }) => readlink(below(fd, name), { encoding: 'buffer' }))
  }

  /** `look` at a path that names the entry itself, good only meanwhile, for calls that do not follow it. */
  async at<T>(name: Buffer | undefined, look: (path: Buffer) => Promise<T>): Promise<T> {
    return this.#use(async ({ fd }) =>
      // The link /proc/self/fd/N would be what a call finds that does not follow.
      look(below(fd, name ?? '.')),
    )
  }

  /** A regular file, to be read; the caller closes it. */
  async openFile(name: Buffer | string): Promise<FileHandle> {
    return this.#use(async ({ fd }) => {
      const path = await open(below(fd, name), openPath | constants.O_NOFOLLOW)
      return reopenForReading(path, `${this.path}/${name.toString()}`)
    })
  }

  async #use<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    try {
      return await this.handles.use(this, async () => this.#open(), work)
    } catch (error) {
      throw fileError(error, this.path)
    }
  }

  async #open(): Promise<FileHandle> {
    const flags = openPath | constants.O_DIRECTORY
    if (this.#parent === undefined) return open(this.#name.toString(), flags)
    return this.#parent.#use(async ({ fd }) =>
      open(below(fd, this.#name) as never, flags | constants.O_NOFOLLOW),
    )
  }
}

/** The file that the user has named. */
export async function openNamedFile(path: string): Promise<FileHandle> {
  try {
    return await reopenForReading(await open(path, openPath), path)
  } catch (error) {
    throw fileError(error, path)
  }
}

async function reopenForReading(named: FileHandle, what: string): Promise<FileHandle> {
  try {
    if (!(await named.stat()).isFile())
      throw new RegistryFsError(
        'UNSUPPORTED',
        `${what} is not a regular file (symbolic links are not followed)`,
      )
    return await open(`/proc/self/fd/${String(named.fd)}`, constants.O_RDONLY)
  } finally {
    await named.close()
  }
}

/** Names are bytes, and one component each. */
function below(fd: number, name: Buffer | string): Buffer {
  const bytes = Buffer.from(name as Buffer)
  if (bytes.length === 0 || bytes.includes(0x2f) || bytes.includes(0) || bytes.equals(Buffer.from('..')))
    throw new RegistryFsError('INVALID', `not a file name: ${JSON.stringify(bytes.toString().slice(0, 200))}`)
  return Buffer.concat([Buffer.from(`/proc/self/fd/${String(fd)}/`), bytes])
}
