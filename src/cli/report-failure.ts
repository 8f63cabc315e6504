import { describeError, RegistryFsError } from '../util/errors.js'
import { exitCodeOf, exitCodes } from './exit-code.js'

/** In one line on stderr, and as the exit status. `image`: that a damaged layer was read for. */
export function reportFailure(error: unknown, image?: string): void {
  process.exitCode = exitCodeOf(error)
  if (process.exitCode === exitCodes.interrupted) return
  const isOfLayer = error instanceof RegistryFsError && error.layer !== undefined
  process.stderr.write(`registryfs: ${describeError(isOfLayer ? error.within({ image }) : error)}\n`)
  // A bug of ours deserves its stack.
  if (!(error instanceof RegistryFsError) && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`)
}
