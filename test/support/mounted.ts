import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findMount } from '../../src/fuse/mountinfo.js'

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Everything that looks at a mount is a child process with a time limit: a hung mount must not hang the tests. */
export async function run(command: string, args: readonly string[], timeoutMs = 120_000): Promise<Ran> {
  const options = {
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: 64 << 20,
    env: { ...process.env, LC_ALL: 'C' },
  } as const
  return new Promise((resolve) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({
        code,
        stdout,
        stderr: error?.killed === true ? `${stderr}(killed after ${String(timeoutMs)} ms)` : stderr,
      })
    })
  })
}

/** stdout of a command that must go well. */
export async function output(command: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${String(code)}: ${stderr}`)
  return stdout
}

export interface Mounted {
  readonly path: string
  readonly pid: number
  /** What the daemon has written to stderr so far. */
  log(): string
  /** Of the process, when it has ended; -1 for a signal. */
  readonly exited: Promise<number>
  signal(name: NodeJS.Signals): void
  /** SIGTERM, and waits. Resolves to the exit status. */
  stop(): Promise<number>
  /** SIGKILL: the mount stays behind, stale. */
  kill9(): Promise<void>
}

export interface MountedOptions {
  /** Arguments before the mount point; `[script, ...]` for Node. */
  readonly command: readonly string[]
  readonly args?: readonly string[]
  /** Where; a new temporary directory unless told. */
  readonly mountPoint?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

const memoryProgram = fileURLToPath(new URL('./memory-mount.js', import.meta.url))

/** A mount of the images of memory-mount.ts. */
export async function mountMemory(
  test: TestContext,
  options: Partial<MountedOptions> = {},
): Promise<Mounted> {
  return mounted(test, { command: [memoryProgram], ...options })
}

export async function emptyMountPoint(test: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'registryfs-mount-'))
  test.after(async () => {
    await clear(path)
    await rmdir(path).catch(() => undefined)
  })
  return path
}

/** Starts a daemon and waits until its mount answers. Whatever happens, nothing of it is left after the test. */
export async function mounted(test: TestContext, options: MountedOptions): Promise<Mounted> {
  const path = options.mountPoint ?? (await emptyMountPoint(test))
  const child = spawn(process.execPath, [...options.command, path, ...(options.args ?? [])], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
  })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const exited = exitOf(child)
  test.after(async () => {
    child.kill('SIGKILL')
    await exited
    await clear(path)
  })
  await answering(path, exited, options.timeoutMs ?? 60_000, () => log)
  return {
    path,
    pid: child.pid ?? 0,
    log: () => log,
    exited,
    signal: (name) => {
      child.kill(name)
    },
    stop: async () => {
      child.kill('SIGTERM')
      return exited
    },
    kill9: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function exitOf(child: ChildProcess): Promise<number> {
  await once(child, 'exit')
  return child.exitCode ?? -1
}

async function answering(
  path: string,
  exited: Promise<number>,
  timeoutMs: number,
  log: () => string,
): Promise<void> {
  const until = Date.now() + timeoutMs
  const ended = exited.then((code) => `the daemon ended with ${String(code)}`)
  for (;;) {
    const before = findMount(path)
    const isAnswered =
      before?.type === 'fuse.registryfs' && (await run('stat', ['-f', path], 2_000)).code === 0
    // The same one all the time: between a stale mount and the next, the bare directory answers.
    if (isAnswered && findMount(path)?.id === before.id) return
    const pause = new Promise<undefined>((resolve) => setTimeout(resolve, 50, undefined))
    const reason = await Promise.race([ended, pause])
    if (reason !== undefined || Date.now() > until)
      throw new Error(`no mount at ${path}: ${reason ?? 'too slow'}\n${log()}`)
  }
}

/** All mounts at a path, also stale ones. */
async function clear(path: string): Promise<void> {
  for (let tries = 0; tries < 5 && findMount(path) !== undefined; tries++)
    await run('umount', ['-l', path], 5_000)
}
