import { describeError, RegistryFsError } from '../util/errors.js'
import type { TreeNode } from './node.js'

export interface LoggedError {
  /** ISO 8601, UTC. */
  readonly time: string
  /** What was asked: `read`, `lookup fedora:40`. */
  readonly operation: string
  readonly code: string
  readonly message: string
  /** How often in a row. */
  readonly count: number
}

const kept = 50

/** The last error of each node, for `user.registryfs.error`, and the last of all, for status.json. */
export class ErrorLog {
  readonly #recent: LoggedError[] = []
  readonly #byNode = new WeakMap<TreeNode, LoggedError>()

  record(node: TreeNode, operation: string, error: unknown): void {
    const code = error instanceof RegistryFsError ? error.code : 'INTERNAL'
    const message = describeError(error)
    const last = this.#recent.at(-1)
    // A reader that tries again and again must not push everything else out.
    const again = last?.operation === operation && last.code === code && last.message === message
    if (again) this.#recent.pop()
    const count = again ? last.count + 1 : 1
    const logged: LoggedError = { time: new Date().toISOString(), operation, code, message, count }
    this.#byNode.set(node, logged)
    this.#recent.push(logged)
    if (this.#recent.length > kept) this.#recent.shift()
  }

  of(node: TreeNode): LoggedError | undefined {
    return this.#byNode.get(node)
  }

  /** Oldest first. */
  recent(): readonly LoggedError[] {
    return [...this.#recent]
  }
}
