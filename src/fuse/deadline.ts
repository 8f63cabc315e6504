import type { Image } from '../image/image.js'
import { abortable } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'

/** So often within a deadline it is looked whether something was achieved. */
const looks = 8

/**
 * Runs `work` with a signal that aborts with TIMEOUT when `deadlineMs`, or at most an eighth more, have gone by in which
 * nothing was achieved: a request that waits for the first pass of its image is given another deadline as long as that
 * pass gets on, or those that it waits for. The timer never outlives the work. `image` may become known while the work goes on.
 */
export async function withProgressDeadline<T>(
  deadlineMs: number,
  what: string,
  image: () => Image | undefined,
  outers: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const { signal } = controller
  const giveUp = (): void => {
    const seconds = String(deadlineMs / 1000)
    controller.abort(new RegistryFsError('TIMEOUT', `${what} took longer than ${seconds} s`))
  }
  // Not asked for at the start, for it costs more than most requests: the first look counts any progress at all.
  let progress = 0
  let idle = 0
  const timer = setInterval(() => {
    const now = image()?.progress
    const isIdle = now === undefined || now === progress
    idle = isIdle ? idle + 1 : 0
    progress = now ?? progress
    if (idle >= looks) giveUp()
  }, deadlineMs / looks)
  const onAbort = (): void => {
    controller.abort(outers.find((outer) => outer?.aborted)?.reason)
  }
  if (outers.some((outer) => outer?.aborted)) onAbort()
  for (const outer of outers) outer?.addEventListener('abort', onAbort, { once: true })
  try {
    return await abortable(work(signal), signal)
  } finally {
    clearInterval(timer)
    for (const outer of outers) outer?.removeEventListener('abort', onAbort)
  }
}
