import { setMaxListeners } from 'node:events'
import { LRUCache } from 'lru-cache'
import { formatReference } from '../registry/reference.js'
import type { ErrorLog } from '../tree/error-log.js'
import type { TreeNode } from '../tree/node.js'
import type { ReadOptions } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { withProgressDeadline } from './deadline.js'
import { RequestCounts, type RequestCountsOptions } from './request-counts.js'
import { formatShownName } from './shown-name.js'

export interface RequestsOptions extends RequestCountsOptions {
  /** Of each request; a running first pass that gets on extends it. */
  readonly deadlineMs: number
  readonly log: Logger
}

/** Answers that are part of ordinary life and say nothing about the health of a node. */
const ordinary = [
  'NO_ATTRIBUTE',
  'NO_DATA',
  'ABORTED',
  'IS_A_DIRECTORY',
  'NOT_A_DIRECTORY',
  'BAD_HANDLE',
  'INVALID',
] as const

/** The same failure is logged once in so long. */
const tellAgainMs = 10_000

/** What the kernel asks for: counted, given up in time or when all are, and a record of what went wrong. */
export class Requests {
  readonly #errors: ErrorLog
  readonly #options: RequestsOptions
  readonly #stopping = new AbortController()
  readonly #counts: RequestCounts
  /** What was logged lately. */
  readonly #told = new LRUCache<string, true>({ max: 100, ttl: tellAgainMs })

  constructor(errors: ErrorLog, options: RequestsOptions) {
    this.#errors = errors
    this.#options = options
    this.#counts = new RequestCounts(options)
    // Each waiting request listens; a hundred of them are no leak.
    setMaxListeners(0, this.#stopping.signal)
  }

  /** Gives up all that wait, and all that come. */
  stop(): void {
    this.#stopping.abort()
  }

  get isStopped(): boolean {
    return this.#stopping.signal.aborted
  }

  /** For status.json. */
  status(): ReturnType<RequestCounts['status']> {
    return this.#counts.status()
  }

  /** One that was answered at once. */
  count(operation: string): void {
    this.#counts.count(operation)
  }

  /** `name`: what is asked for in the directory `node`. */
  async run<T>(
    operation: string,
    node: TreeNode,
    options: ReadOptions | undefined,
    work: (signal: AbortSignal) => Promise<T>,
    name?: Buffer,
  ): Promise<T> {
    this.count(operation)
    return this.guard(operation, node, options, work, name)
  }

  /** Part of a request, which is counted elsewhere. */
  async guard<T>(
    operation: string,
    node: TreeNode,
    options: ReadOptions | undefined,
    work: (signal: AbortSignal) => Promise<T>,
    name?: Buffer,
  ): Promise<T> {
    const outers = [this.#stopping.signal, options?.signal]
    const what = name === undefined ? operation : `${operation} ${formatShownName(name)}`
    const told = node.subject === undefined ? what : `${what} in ${node.subject}`
    try {
      return await withProgressDeadline(this.#options.deadlineMs, told, () => node.image, outers, work)
    } catch (error) {
      if (!hasCode(error, ...ordinary)) this.#record(what, node, error)
      throw error
    }
  }

  #record(operation: string, node: TreeNode, error: unknown): void {
    const image = node.image === undefined ? undefined : formatReference(node.image.reference)
    const placed = error instanceof RegistryFsError ? error.within({ image }) : error
    this.#errors.record(node, operation, placed)
    // The binding logs what is not ours, with its stack.
    if (!(placed instanceof RegistryFsError)) return
    const message = placed.describe()
    // The kernel reads ahead, and whoever waits is told by each of his requests.
    if (this.#told.has(`${operation}: ${message}`)) return
    this.#told.set(`${operation}: ${message}`, true)
    this.#options.log.warn({ operation, code: placed.code }, message)
  }
}
