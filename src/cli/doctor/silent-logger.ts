import type { Logger } from '../../util/log.js'

const nothing = (): void => undefined

export const silentLogger: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
}
