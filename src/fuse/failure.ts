import { describeError, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { errnoOf } from './errno.js'

/** The errno that answers a request which failed; what is not ours is a bug, and told with its stack. */
export function failureErrno(operation: string, error: unknown, log: Logger): number {
  if (error instanceof RegistryFsError) log.trace({ operation, code: error.code }, describeError(error))
  else log.error({ operation, err: error }, `${operation} failed unexpectedly`)
  return errnoOf(error)
}
