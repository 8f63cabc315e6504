import type { Image } from '../image/image.js'
import { abortable } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'

/**
 * Runs `work` with a signal that aborts with TIMEOUT when `deadlineMs` have gone by in which nothing was achieved: a
 * request that waits for the first pass of its image is given another deadline as long as that pass gets on, or those
 * that it waits for. The timer never outlives the work. `image` may become known while the work goes on.
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
  let timer: NodeJS.Timeout | undefined
  const watch = (progress: number): void => {
    timer = setTimeout(() => {
      const now = image()?.progress
      if (now === undefined || now === progress) giveUp()
      else watch(now)
    }, deadlineMs)
  }
  const onAbort = (): void => {
    controller.abort(outers.find((outer) => outer?.aborted)?.reason)
  }
  if (outers.some((outer) => outer?.aborted)) onAbort()
  for (const outer of outers) outer?.addEventListener('abort', onAbort, { once: true })
  // Not asked for now, for it costs more than most requests: the first deadline counts any progress at all.
  watch(0)
  try {
    return await abortable(work(signal), signal)
  } finally {
    clearTimeout(timer)
    for (const outer of outers) outer?.removeEventListener('abort', onAbort)
  }
}
