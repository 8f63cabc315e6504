import { RegistryFsError, type ErrorCode } from '../util/errors.js'

/** What scripts can tell apart; in README.md under "Exit status". */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  noPermission: 4,
  unavailable: 5,
  badData: 6,
  unsupported: 7,
  host: 8,
  interrupted: 130,
} as const

const byErrorCode: Readonly<Record<ErrorCode, number>> = {
  NOT_FOUND: exitCodes.notFound,
  UNAUTHORIZED: exitCodes.noPermission,
  DENIED: exitCodes.noPermission,
  TIMEOUT: exitCodes.unavailable,
  UNAVAILABLE: exitCodes.unavailable,
  RATE_LIMITED: exitCodes.unavailable,
  PROTOCOL: exitCodes.unavailable,
  DIGEST_MISMATCH: exitCodes.badData,
  CORRUPT: exitCodes.badData,
  UNSUPPORTED: exitCodes.unsupported,
  GONE: exitCodes.notFound,
  READ_ONLY: exitCodes.failure,
  UNREADABLE: exitCodes.host,
  LIMIT: exitCodes.badData,
  NAME_TOO_LONG: exitCodes.failure,
  ABORTED: exitCodes.interrupted,
  NOT_A_DIRECTORY: exitCodes.failure,
  IS_A_DIRECTORY: exitCodes.failure,
  NOT_A_FILE: exitCodes.failure,
  BAD_HANDLE: exitCodes.failure,
  INVALID: exitCodes.usage,
  NO_ATTRIBUTE: exitCodes.failure,
  NO_DATA: exitCodes.failure,
  OUTPUT: exitCodes.failure,
  HOST: exitCodes.host,
}

export function exitCodeOf(error: unknown): number {
  return error instanceof RegistryFsError ? byErrorCode[error.code] : exitCodes.failure
}
