import { destination, pino, stdTimeFunctions, type Logger as PinoLogger } from 'pino'
import pretty from 'pino-pretty'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
export const logFormats = ['auto', 'pretty', 'json'] as const

export interface LoggerOptions {
  readonly level: (typeof logLevels)[number]
  /** `auto`: pretty on a terminal, JSON otherwise. */
  readonly format: (typeof logFormats)[number]
  /** A descriptor of a file; undefined: stderr. */
  readonly file?: number | undefined
}

/** Written synchronously: the last lines before an exit are the ones that matter. */
export function createLogger(options: LoggerOptions): PinoLogger {
  const isPretty =
    options.format === 'pretty' ||
    (options.format === 'auto' && options.file === undefined && process.stderr.isTTY)
  const target = options.file ?? 2
  if (isPretty) {
    return pino(
      { level: options.level },
      pretty({ destination: target, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' }),
    )
  }
  return pino(
    { level: options.level, timestamp: stdTimeFunctions.isoTime },
    destination({ dest: target, sync: true, append: true }),
  )
}
