import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A command that did not end well, after it has said why. */
export class CommandFailure extends Error {
  constructor(command: string, ending: string) {
    super(`${command} ${ending}`)
    this.name = 'CommandFailure'
  }
}

/** Runs commands in one directory and shows each as a person would type it, with the time that it took. */
export class Shell {
  readonly #directory: string
  readonly #signal: AbortSignal
  /** The program of this checkout, and mke2fs, which Debian keeps from ordinary users' PATH. */
  readonly #env: NodeJS.ProcessEnv

  /** `signal` ends what is running. */
  constructor(directory: string, signal: AbortSignal) {
    this.#directory = directory
    this.#signal = signal
    const path = `${join(projectRoot(), 'bin')}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    this.#env = { ...process.env, PATH: path, LC_ALL: 'C.UTF-8' }
  }

  /** Throws CommandFailure unless it exits with 0. */
  async run(...words: readonly string[]): Promise<void> {
    show(words.join(' '))
    const start = performance.now()
    await this.#ended(this.#spawn(words, ['ignore', 'inherit', 'inherit']), words.join(' '))
    process.stdout.write(`${timeText(performance.now() - start)}\n\n`)
  }

  /** What it writes to stdout; not shown. */
  async output(...words: readonly string[]): Promise<string> {
    const child = this.#spawn(words, ['ignore', 'pipe', 'inherit'])
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    await this.#ended(child, words.join(' '))
    return text
  }

  /** Starts it in the background; a Ctrl-C at the terminal does not reach it, the caller ends it. */
  start(logFile: string, ...words: readonly string[]): ChildProcess {
    show(`${words.join(' ')} &`)
    const log = openSync(join(this.#directory, logFile), 'a')
    const [command = '', ...args] = words
    return spawn(command, args, {
      cwd: this.#directory,
      env: this.#env,
      detached: true,
      stdio: ['ignore', log, log],
    })
  }

  #spawn(words: readonly string[], stdio: StdioOptions): ChildProcess {
    const [command = '', ...args] = words
    return spawn(command, args, {
      cwd: this.#directory,
      env: this.#env,
      signal: this.#signal,
      stdio,
    })
  }

  /** `close` rather than `exit`: then its output is complete. */
  async #ended(child: ChildProcess, command: string): Promise<void> {
    await once(child, 'close')
    if (child.exitCode === 0) return
    throw new CommandFailure(
      command,
      child.exitCode === null
        ? `was ended by ${child.signalCode ?? 'a signal'}`
        : `ended with ${String(child.exitCode)}`,
    )
  }
}

export function timeText(ms: number): string {
  return `  (${(ms / 1000).toFixed(2)} s)`
}

/** From build/demo/. */
export function projectRoot(): string {
  return join(dirname(fileURLToPath(import.meta.url)), '../..')
}

function show(command: string): void {
  process.stdout.write(`$ ${command}\n`)
}
