import { describeError, RegistryFsError, type ErrorCode } from '../util/errors.js'

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'NOT_FOUND',
  EACCES: 'DENIED',
  EPERM: 'DENIED',
  // Of an open that must not follow a symbolic link.
  ELOOP: 'UNSUPPORTED',
  ENOTDIR: 'UNSUPPORTED',
  ESTALE: 'GONE',
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ELOOP: 'symbolic links are not followed',
  ENOTDIR: 'not a directory (symbolic links are not followed)',
}

/** What the system says about a local file, with its name. */
export function fileError(error: unknown, what: string): RegistryFsError {
  if (error instanceof RegistryFsError) return error
  const code = (error as NodeJS.ErrnoException).code ?? ''
  return new RegistryFsError(
    codes[code] ?? 'UNAVAILABLE',
    `${what}: ${reasons[code] ?? describeError(error)}`,
    { cause: error },
  )
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}
