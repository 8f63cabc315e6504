import type { Digest } from '../util/digest.js'
import { describeError, hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'

/** What everyone is told who needs a layer that could not be read; it is logged. */
export function layerFailure(error: unknown, layer: Digest, log: Logger): RegistryFsError {
  const isForeseen = error instanceof RegistryFsError
  const failure = isForeseen
    ? error.within({ layer })
    : new RegistryFsError('CORRUPT', `reading the layer failed: ${describeError(error)}`, {
        layer,
        cause: error,
      })
  if (!hasCode(failure, 'ABORTED'))
    // Where in our code a foreseen error was made tells nobody anything.
    log.error({ layer, code: failure.code, ...(isForeseen ? {} : { err: error }) }, failure.describe())
  return failure
}
