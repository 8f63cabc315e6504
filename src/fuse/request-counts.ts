import type { ResidentSpans } from '../blob/resident-spans.js'
import type { BareInodes } from '../tree/bare-inodes.js'

export interface RequestCountsOptions {
  /** What open files lie in is told to whoever answers reads from there without us. */
  readonly resident?: ResidentSpans | undefined
  /** Who has no xattrs is told to whoever answers that without us. */
  readonly bare?: BareInodes | undefined
}

/** What the kernel asked for, by its name, for status.json. */
export class RequestCounts {
  readonly #options: RequestCountsOptions
  readonly #counts = new Map<string, number>()

  constructor(options: RequestCountsOptions) {
    this.#options = options
  }

  count(operation: string): void {
    this.#counts.set(operation, (this.#counts.get(operation) ?? 0) + 1)
  }

  /** Of all requests, and of those that the threads answered that receive them. */
  status(): { requests: Record<string, number>; answeredByThreads: { read: number; getxattr: number } } {
    const { resident, bare } = this.#options
    const answeredByThreads = { read: resident?.answers ?? 0, getxattr: bare?.answers ?? 0 }
    const { read = 0, getxattr = 0, ...others } = Object.fromEntries(this.#counts)
    const requests = {
      ...others,
      read: read + answeredByThreads.read,
      getxattr: getxattr + answeredByThreads.getxattr,
    }
    return { requests, answeredByThreads }
  }
}
