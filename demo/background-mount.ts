import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMount } from '../src/fuse/mountinfo.js'
import { CommandFailure, timeText, type Shell } from './shell.js'

const startTimeoutMs = 30_000
const stopTimeoutMs = 10_000
const logFile = 'registryfs.log'

/** `registryfs mount ... &` on `mnt` in the shell's directory, which is a path without symlinks. */
export class BackgroundMount {
  readonly #shell: Shell
  readonly #directory: string
  readonly #path: string
  #child: ChildProcess | undefined

  constructor(shell: Shell, directory: string) {
    this.#shell = shell
    this.#directory = directory
    this.#path = join(directory, 'mnt')
  }

  /** Resolves when the mount answers. Throws CommandFailure. */
  async start(image: string, signal: AbortSignal): Promise<void> {
    const start = performance.now()
    const child = this.#shell.start(logFile, 'registryfs', 'mount', '--cache-dir', 'cache', 'mnt', image)
    this.#child = child
    child.once('error', () => undefined)
    while (findMount(this.#path)?.type !== 'fuse.registryfs') {
      if (hasEnded(child) || performance.now() - start > startTimeoutMs)
        throw new CommandFailure('registryfs mount', 'did not mount')
      await sleep(20, undefined, { signal })
    }
    await this.#shell.output('stat', 'mnt')
    process.stdout.write(`${timeText(performance.now() - start)}\n\n`)
  }

  async unmount(): Promise<void> {
    await this.#shell.run('registryfs', 'umount', 'mnt')
    await this.#ended()
  }

  /** Whatever has happened before: afterwards neither the mount nor its process is there. */
  async clear(unmountLazily: () => Promise<void>): Promise<void> {
    this.#child?.kill('SIGTERM')
    if (!(await this.#ended())) {
      this.#child?.kill('SIGKILL')
      await this.#ended()
    }
    if (findMount(this.#path) !== undefined) await unmountLazily()
  }

  /** The end of its log; empty when there is none. */
  async lastMessages(): Promise<string> {
    const log = await readFile(join(this.#directory, logFile), 'utf8').catch(() => '')
    return log.split('\n').slice(-6).join('\n')
  }

  /** False when it takes too long. */
  async #ended(): Promise<boolean> {
    const child = this.#child
    if (child === undefined || hasEnded(child)) return true
    return once(child, 'exit', { signal: AbortSignal.timeout(stopTimeoutMs) }).then(
      () => true,
      () => hasEnded(child),
    )
  }
}

/** Also true for a process that never started. */
function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}
