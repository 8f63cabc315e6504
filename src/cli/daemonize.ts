import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, realpathSync } from 'node:fs'
import { describeError } from '../util/errors.js'
import { exitCodeOf, exitCodes } from './exit-code.js'
import { openLogFile } from './log-file.js'

const childVariable = 'REGISTRYFS_DAEMON_CHILD'

type Report =
  | { readonly state: 'ready'; readonly warning?: string | undefined }
  | { readonly state: 'failed'; readonly message: string; readonly exitCode: number }

/** The daemon failed to mount; its own line and exit status. */
export class DaemonFailure extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.name = 'DaemonFailure'
    this.exitCode = exitCode
  }
}

export interface DaemonOptions {
  /** What the program was called with: the same again, but in the background. */
  readonly args: readonly string[]
  /** For its log and all that libraries print; undefined: nowhere. */
  readonly logFile: string | undefined
  /** Says what the user should know of a mount that works. */
  readonly tell: (warning: string) => void
}

export function isDaemonChild(): boolean {
  return process.env[childVariable] === '1' && process.send !== undefined
}

/**
 * Starts the same program in a session of its own and waits until it reports that its mount answers. Throws DaemonFailure
 * with what it says otherwise. Resolves to its process id.
 */
export async function startDaemon(options: DaemonOptions): Promise<number> {
  // Without symbolic links: called as mount.fuse.registryfs we are the helper of mount(8), and this is not.
  const script = realpathSync(process.argv[1] ?? '')
  const log = openLogFile(options.logFile ?? '/dev/null')
  const child = spawn(process.execPath, [...process.execArgv, script, ...options.args], {
    detached: true,
    env: { ...process.env, [childVariable]: '1' },
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  const interrupt = (): void => {
    child.kill('SIGTERM')
  }
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  try {
    return await readyPid(child, options.tell)
  } finally {
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt)
    if (child.connected) child.disconnect()
    child.unref()
  }
}

/** In the daemon: lets the waiting parent go. */
export async function reportReady(warning: string | undefined): Promise<void> {
  await report({ state: 'ready', warning })
  // The directory that we were started in should stay free.
  process.chdir('/')
}

export async function reportFailed(error: unknown): Promise<void> {
  await report({ state: 'failed', message: describeError(error), exitCode: exitCodeOf(error) })
}

/** A parent that is gone meanwhile is no failure. */
async function report(message: Report): Promise<void> {
  await new Promise<void>((resolve) => {
    if (!process.connected) resolve()
    process.send?.(message, () => {
      resolve()
    })
  })
  if (process.connected) process.disconnect()
}

async function readyPid(child: ChildProcess, tell: (warning: string) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new DaemonFailure(`the daemon cannot be started: ${error.message}`, exitCodes.failure))
    })
    child.once('message', (message: Report) => {
      if (message.state === 'ready') {
        if (message.warning !== undefined) tell(message.warning)
        resolve(child.pid ?? 0)
      } else reject(new DaemonFailure(message.message, message.exitCode))
    })
    // Comes after the last message, which the exit need not.
    child.once('disconnect', () => {
      reject(new DaemonFailure('the daemon ended before it could mount', exitCodes.failure))
    })
  })
}
