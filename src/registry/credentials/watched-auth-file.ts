import { open } from 'node:fs/promises'
import { describeError, RegistryFsError } from '../../util/errors.js'
import { parseAuthFile, type AuthFile } from './auth-file.js'
import type { AuthFilePath } from './auth-file-paths.js'

const maximumBytes = 4 * 1024 * 1024

/** A credential file, read again whenever it is another one than before: users log in while a mount runs. */
export class WatchedAuthFile {
  readonly isRequired: boolean
  readonly #file: AuthFilePath
  #stamp = ''
  #content: AuthFile | undefined

  constructor(file: AuthFilePath) {
    this.isRequired = file.isRequired
    this.#file = file
  }

  /** Undefined: there is no such file. Throws INVALID for one that cannot be used. */
  async load(): Promise<AuthFile | undefined> {
    const { path, isLegacy, isRequired } = this.#file
    const handle = await open(path).catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException
      if (!isRequired && (code === 'ENOENT' || code === 'ENOTDIR')) return undefined
      throw new RegistryFsError('INVALID', `${path}: ${describeError(error)}`)
    })
    if (handle === undefined) return undefined
    try {
      const stat = await handle.stat({ bigint: true })
      const stamp = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(' ')
      if (stamp === this.#stamp) return this.#content
      if (!stat.isFile()) throw new RegistryFsError('INVALID', `${path}: not a regular file`)
      if (stat.size > maximumBytes)
        throw new RegistryFsError('INVALID', `${path}: longer than ${String(maximumBytes)} bytes`)
      this.#content = parseAuthFile(await handle.readFile('utf8'), isLegacy, path)
      this.#stamp = stamp
      return this.#content
    } finally {
      await handle.close()
    }
  }
}
