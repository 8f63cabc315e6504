import { EarlyInterrupts } from './early-interrupts.js'
import type { FuseRequest } from './fuse-protocol.js'
import { hasPendingSignal } from './pending-signal.js'

/** Whoever presses Ctrl-C does not notice. */
const lookAgainMs = 50

/** Requests under way, and who gives up which. */
export class WaitingRequests {
  /** By number. */
  readonly #waiting = new Map<number, { readonly pid: number; readonly controller: AbortController }>()
  readonly #earlyInterrupts = new EarlyInterrupts()

  /** The signal is aborted when nobody waits any more. */
  begin({ unique, pid }: FuseRequest): AbortSignal {
    const controller = new AbortController()
    this.#waiting.set(unique, { pid, controller })
    if (this.#earlyInterrupts.take(unique)) this.#abortSignalled(unique)
    return controller.signal
  }

  end(unique: number): void {
    this.#waiting.delete(unique)
  }

  /** Of two threads that receive, the one may be faster with an interrupt than the other with its request. */
  interrupt(unique: number): void {
    if (this.#waiting.has(unique)) this.#abortSignalled(unique)
    else this.#earlyInterrupts.add(unique)
  }

  abortAll(): void {
    for (const { controller } of this.#waiting.values()) controller.abort()
  }

  /**
   * The kernel interrupts for any task that has something to do before it may go on waiting: besides a signal that is work of
   * io_uring, which qemu-img has, and which must not make its open(2) fail with EINTR. It says so once, also when a signal
   * comes later.
   */
  #abortSignalled(unique: number): void {
    const waiting = this.#waiting.get(unique)
    if (waiting === undefined) return
    if (hasPendingSignal(waiting.pid)) waiting.controller.abort()
    else
      setTimeout(() => {
        this.#abortSignalled(unique)
      }, lookAgainMs).unref()
  }
}
