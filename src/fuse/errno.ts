import { constants } from 'node:os'
import { RegistryFsError, type ErrorCode } from '../util/errors.js'

const { errno } = constants

/** design.md, section 6. A code that is missing here does not compile. */
const errnoByCode: Readonly<Record<ErrorCode, number>> = {
  NOT_FOUND: errno.ENOENT,
  UNAUTHORIZED: errno.EACCES,
  DENIED: errno.EACCES,
  TIMEOUT: errno.ETIMEDOUT,
  UNAVAILABLE: errno.EIO,
  RATE_LIMITED: errno.EIO,
  PROTOCOL: errno.EIO,
  DIGEST_MISMATCH: errno.EIO,
  CORRUPT: errno.EIO,
  UNSUPPORTED: errno.EOPNOTSUPP,
  GONE: errno.ESTALE,
  READ_ONLY: errno.EROFS,
  // EMFILE would be understood as the reader's own limit.
  UNREADABLE: errno.EIO,
  LIMIT: errno.EFBIG,
  NAME_TOO_LONG: errno.ENAMETOOLONG,
  ABORTED: errno.EINTR,
  NOT_A_DIRECTORY: errno.ENOTDIR,
  IS_A_DIRECTORY: errno.EISDIR,
  NOT_A_FILE: errno.EINVAL,
  BAD_HANDLE: errno.EBADF,
  INVALID: errno.EINVAL,
  NO_ATTRIBUTE: errno.ENODATA,
  // lseek(2) says so.
  NO_DATA: errno.ENXIO,
  OUTPUT: errno.EIO,
  HOST: errno.EIO,
}

/** Positive; EIO for whatever is not ours. */
export function errnoOf(error: unknown): number {
  return error instanceof RegistryFsError ? errnoByCode[error.code] : errno.EIO
}
