import { describeError, RegistryFsError } from './errors.js'

/** What says nothing about the file that was to be opened or read: the same may go well in a moment. */
const shortages: Readonly<Record<string, string>> = {
  EMFILE: 'as many files are open as may be (ulimit -n)',
  ENFILE: 'as many files are open as the system may have',
  ENOMEM: 'the system has no memory left',
}

/** Whether the system lacked what it takes to open or read any file. */
export function isShortage(error: unknown): boolean {
  return codeOf(error) in shortages
}

/** UNREADABLE: `what` may be well, but cannot be read at the moment. */
export function unreadable(error: unknown, what: string): RegistryFsError {
  const code = codeOf(error)
  const reason = shortages[code] ?? describeError(error)
  return new RegistryFsError('UNREADABLE', `${what} cannot be read now: ${reason} (${code})`, {
    cause: error,
  })
}

/** Throws UNREADABLE if that is what `error` says; else it says something about `what`. */
export function throwShortage(error: unknown, what: string): void {
  if (isShortage(error)) throw unreadable(error, what)
}

/** Of the system, as Node has it; empty where there is none. */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? ''
}
