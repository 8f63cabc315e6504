import type { PathWalk } from './tree-path.js'

/** A hard link whose target has not come. */
export interface PendingLink {
  /** In the table of members. */
  readonly memberIndex: number
  /** Components of the target, Latin-1. */
  readonly target: readonly string[]
  /** The directory that it goes into. */
  readonly place: PathWalk
  readonly name: string
  /** Something else has taken its name since, or it was resolved. */
  isCancelled: boolean
}

/** By what they wait for. */
export class PendingLinks {
  readonly #byTarget = new Map<string, PendingLink[]>()

  get isEmpty(): boolean {
    return this.#byTarget.size === 0
  }

  add(link: PendingLink): void {
    const path = link.target.join('/')
    const waiting = this.#byTarget.get(path)
    if (waiting === undefined) this.#byTarget.set(path, [link])
    else waiting.push(link)
  }

  /** Those that wait for a path, which do so no longer. */
  take(path: string): readonly PendingLink[] {
    const links = this.#byTarget.get(path) ?? []
    this.#byTarget.delete(path)
    return links
  }

  /** A copy, in the order of targets. */
  links(): readonly PendingLink[] {
    return [...this.#byTarget.values()].flat()
  }

  clear(): void {
    this.#byTarget.clear()
  }
}
