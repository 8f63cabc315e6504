import type { Logger as PinoLogger } from 'pino'

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
export async function createLogger(options: LoggerOptions): Promise<PinoLogger> {
  const { destination, pino, stdTimeFunctions } = await import('pino')
  const isPretty =
    options.format === 'pretty' ||
    (options.format === 'auto' && options.file === undefined && process.stderr.isTTY)
  const target = options.file ?? 2
  if (isPretty) {
    const { default: pretty } = await import('pino-pretty')
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
