import { abortable, withDeadline } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'

/** Everything that runs for a client: each piece of work has a deadline, and closing ends them all. */
export class Lifetime {
  readonly #running = new Set<AbortController>()
  #closed = false

  /** Throws TIMEOUT after `deadlineMs`, ABORTED once closed, or what `outer` stands for. */
  async run<T>(
    deadlineMs: number,
    what: string,
    outer: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw closedError(what)
    return withDeadline(deadlineMs, what, outer, async (signal) => {
      const own = new AbortController()
      const forward = (): void => {
        own.abort(signal.reason)
      }
      if (signal.aborted) forward()
      signal.addEventListener('abort', forward, { once: true })
      this.#running.add(own)
      try {
        return await abortable(work(own.signal), own.signal)
      } finally {
        this.#running.delete(own)
        signal.removeEventListener('abort', forward)
      }
    })
  }

  close(): void {
    this.#closed = true
    for (const controller of this.#running) controller.abort(closedError('given up'))
  }
}

function closedError(what: string): RegistryFsError {
  return new RegistryFsError('ABORTED', `${what}: the registry client is closed`)
}
