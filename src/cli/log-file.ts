import { closeSync, openSync } from 'node:fs'
import { putInPlace } from '../native.js'
import { describeError, RegistryFsError } from '../util/errors.js'

/** The file of --log-file, whose name others may take away when it has grown: logrotate(8). */
export class LogFile {
  readonly #path: string
  /** All of them lead there. */
  readonly #descriptors: readonly number[]

  private constructor(path: string, descriptors: readonly number[]) {
    this.#path = path
    this.#descriptors = descriptors
  }

  /** HOST when it cannot be written. */
  static open(path: string): LogFile {
    return new LogFile(path, [openLogFile(path)])
  }

  /** As the daemon finds it, whose stdout and stderr it is. */
  static inherited(path: string): LogFile {
    return new LogFile(path, [2, 1])
  }

  get descriptor(): number {
    return this.#descriptors[0] ?? 2
  }

  /** Goes on in what has the name now, a new file if need be. HOST when that cannot be: the old one is written to then. */
  reopen(): void {
    const opened = openLogFile(this.#path)
    try {
      for (const descriptor of this.#descriptors) putInPlace(opened, descriptor)
    } finally {
      closeSync(opened)
    }
  }
}

/** HOST when it cannot be written. */
export function openLogFile(path: string): number {
  try {
    return openSync(path, 'a')
  } catch (error) {
    throw new RegistryFsError('HOST', `the log file cannot be written: ${describeError(error)}`, {
      cause: error,
    })
  }
}
