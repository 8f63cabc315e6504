import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'

const maximumOutputBytes = 16 * 2 ** 20

export interface CommandOptions {
  readonly cwd?: string
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number
}

/** Throws, with the end of what it wrote to stderr, unless the command exits with 0. Resolves to its stdout. */
export async function run(
  words: readonly string[],
  { cwd, signal, timeoutMs = 900_000 }: CommandOptions = {},
): Promise<string> {
  const [command = '', ...args] = words
  const options = {
    ...(cwd === undefined ? {} : { cwd }),
    ...(signal === undefined ? {} : { signal }),
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: maximumOutputBytes,
    env: environment(),
  } as const
  return new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else if (signal?.aborted === true) reject(new Error('interrupted'))
      else reject(new Error(`${words.join(' ')}: ${error.killed === true ? 'too slow' : lastLines(stderr)}`))
    })
  })
}

/** A pipeline fails when any part of it does. */
export async function shell(script: string, options: CommandOptions = {}): Promise<string> {
  return run(['bash', '-c', `set -euo pipefail; ${script}`], options)
}

/** What the command writes to stdout, as it comes. Throws at its end unless it exits with 0. */
export async function* outputOf(
  words: readonly string[],
  { cwd, signal }: CommandOptions = {},
): AsyncGenerator<Buffer> {
  const [command = '', ...args] = words
  const child = spawn(command, args, {
    cwd,
    signal,
    env: environment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  for await (const part of child.stdout as AsyncIterable<Buffer>) yield part
  await closed
  if (child.exitCode !== 0) throw new Error(`${words.join(' ')} failed`)
}

export async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

/** Debian keeps mke2fs and debootstrap from ordinary users' PATH. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C.UTF-8' }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-5).join('\n')
}
