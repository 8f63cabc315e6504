import type { Logger as PinoLogger } from 'pino'

/** What the layers below the command line may do with the log. pino's Logger is one. */
export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error'>

const nothing = (): void => undefined

/** For callers that do not care, and for tests. */
export const silentLogger: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
}
