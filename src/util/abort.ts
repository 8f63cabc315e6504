import { RegistryFsError } from './errors.js'

/** What every operation that waits takes. */
export interface ReadOptions {
  /** Aborting gives up waiting with ABORTED (or the signal's own RegistryFsError reason); shared work goes on for the others. */
  readonly signal?: AbortSignal | undefined
}

/** The error that an aborted signal stands for: its reason when that is ours (a deadline's TIMEOUT), else ABORTED. */
export function abortError(signal: AbortSignal): RegistryFsError {
  const reason: unknown = signal.reason
  return reason instanceof RegistryFsError
    ? reason
    : new RegistryFsError('ABORTED', 'the request was given up')
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal)
}

/** Waits for `promise`, or throws as soon as the signal aborts; `promise` itself goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  if (signal.aborted) {
    promise.catch(() => undefined)
    throw abortError(signal)
  }
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      reject(abortError(signal))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort)
    })
  })
}

/** Resolves after `ms`, or throws when the signal aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal)
  return new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer)
      if (signal !== undefined) reject(abortError(signal))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/**
 * Runs `work` with a signal that aborts with TIMEOUT after `deadlineMs` or when `outer` aborts. The timer never
 * outlives the work.
 */
export async function withDeadline<T>(
  deadlineMs: number,
  what: string,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    controller.abort(
      new RegistryFsError('TIMEOUT', `${what} took longer than ${String(deadlineMs / 1000)} s`),
    )
  }, deadlineMs)
  const onAbort = (): void => {
    controller.abort(outer?.reason)
  }
  if (outer?.aborted === true) onAbort()
  outer?.addEventListener('abort', onAbort, { once: true })
  try {
    return await abortable(work(controller.signal), controller.signal)
  } finally {
    clearTimeout(timer)
    outer?.removeEventListener('abort', onAbort)
  }
}
