import { LRUCache } from 'lru-cache'
import { rootInode, type Inode } from '../tree/inode-table.js'
import { sleep } from '../util/abort.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import type { FuseOperations } from './binding.js'
import { parseShownName } from './shown-name.js'

interface Step {
  readonly inode: Inode
  /** Date.now() at which the name must be looked up again. */
  validUntilMs: number
}

const maxSteps = 65_536

/**
 * From the paths that libfuse2's high-level interface speaks to inodes. Each step, (parent, name) to inode, is remembered
 * for as long as its lookup allows, and holds one lookup of its inode; below an image that is for ever, so a path
 * costs a few map reads. Steps are keyed by the parent's inode: when a tag moves, everything below it is new.
 *
 * The kernel, though, knows nodes by their path in this interface, and believes sizes for `attributeTimeoutMs`. Were a file
 * of the new image opened while the size of the old one is believed, it would seem cut off. So when a name turns out
 * to lead somewhere else, all that go through it wait until the kernel believes nothing of the old.
 */
export class PathWalker {
  readonly #operations: Pick<FuseOperations, 'lookup' | 'forget'>
  readonly #attributeTimeoutMs: number
  readonly #steps: LRUCache<string, Step>
  /** Counts the names that have moved: a walk during which one did starts again. */
  #moves = 0

  constructor(
    operations: Pick<FuseOperations, 'lookup' | 'forget'>,
    attributeTimeoutMs: number,
    max = maxSteps,
  ) {
    this.#operations = operations
    this.#attributeTimeoutMs = attributeTimeoutMs
    this.#steps = new LRUCache({
      max,
      dispose: (step) => {
        operations.forget(step.inode, 1)
      },
      noDisposeOnSet: false,
    })
  }

  /** What is known without asking anyone. */
  peek(path: string): Inode | undefined {
    const now = Date.now()
    let inode = rootInode
    for (const name of componentsOf(path)) {
      const step = this.#steps.get(keyOf(inode, name))
      if (step === undefined || step.validUntilMs < now) return undefined
      inode = step.inode
    }
    return inode
  }

  /**
   * NOT_FOUND like lookup. Use the inode before awaiting anything else: the step that holds it can be dropped at any
   * later time.
   */
  async walk(path: string): Promise<Inode> {
    for (;;) {
      const known = this.peek(path)
      if (known !== undefined) return known
      const moves = this.#moves
      let inode = rootInode
      for (const name of componentsOf(path)) {
        const step = this.#steps.get(keyOf(inode, name))
        inode =
          step !== undefined && step.validUntilMs >= Date.now() ? step.inode : await this.#look(inode, name)
      }
      if (moves === this.#moves) return inode
    }
  }

  /** The same for who was told that what the path led to is gone (GONE): every name is looked up anew, as the kernel does at ESTALE. */
  async walkAnew(path: string): Promise<Inode> {
    let inode = rootInode
    for (const name of componentsOf(path)) {
      const step = this.#steps.get(keyOf(inode, name))
      if (step === undefined) break
      step.validUntilMs = 0
      inode = step.inode
    }
    return this.walk(path)
  }

  async #look(parent: Inode, name: string): Promise<Inode> {
    const key = keyOf(parent, name)
    const bytes = parseShownName(name)
    if (bytes === undefined) throw new RegistryFsError('NOT_FOUND', 'no such file or directory')
    const found = await this.#operations.lookup(parent, bytes).catch((error: unknown) => {
      if (hasCode(error, 'NOT_FOUND')) this.#steps.delete(key)
      throw error
    })
    const { inode, validMs } = found
    const before = this.#steps.get(key)
    if (before !== undefined && before.inode !== inode) {
      this.#moves++
      await sleep(this.#attributeTimeoutMs)
    }
    const now = this.#steps.get(key)
    if (now?.inode === inode) {
      // The step has its lookup already, perhaps from another walk of the same time.
      this.#operations.forget(inode, 1)
      now.validUntilMs = Date.now() + validMs
    } else {
      this.#steps.set(key, { inode, validUntilMs: Date.now() + validMs })
    }
    return inode
  }
}

function keyOf(parent: Inode, name: string): string {
  return `${String(parent)}/${name}`
}

function componentsOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/')
}
