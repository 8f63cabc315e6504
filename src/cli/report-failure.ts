import { describeError, RegistryFsError } from '../util/errors.js'
import { exitCodeOf, exitCodes } from './exit-code.js'

/** In one line on stderr, and as the exit status. */
export function reportFailure(error: unknown): void {
  process.exitCode = exitCodeOf(error)
  if (process.exitCode === exitCodes.interrupted) return
  process.stderr.write(`registryfs: ${describeError(error)}\n`)
  // A bug of ours deserves its stack.
  if (!(error instanceof RegistryFsError) && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`)
}
