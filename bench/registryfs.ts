import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findMount } from '../src/fuse/mountinfo.js'
import { packageRoot } from '../src/util/package-root.js'
import { run, type CommandOptions } from './command.js'

const program = join(packageRoot, 'bin/registryfs')
const startTimeoutMs = 20_000
const stopTimeoutMs = 20_000

/** Of all layers. */
export interface SpanCounts {
  readonly inflated: number
  readonly inflatedAgain: number
}

/** What the benchmark uses of status.json. */
interface Status {
  readonly images: readonly { readonly layers: readonly { readonly indexBytes: number }[] }[]
  readonly spans: SpanCounts
}

/** A `registryfs mount` process with one image at `image`. */
export class RegistryfsMount {
  /** Of the mount. */
  readonly path: string
  readonly #child: ChildProcess
  readonly #logFile: string

  private constructor(path: string, child: ChildProcess, logFile: string) {
    this.path = path
    this.#child = child
    this.#logFile = logFile
  }

  /** Resolves when the mount answers. `work`: a directory for the mount point and the log. */
  static async start(
    work: string,
    cacheDirectory: string,
    reference: string,
    flags: readonly string[] = [],
  ): Promise<RegistryfsMount> {
    const path = join(work, 'mnt')
    await mkdir(path, { recursive: true })
    const logFile = join(work, 'registryfs.log')
    const log = openSync(logFile, 'a')
    const child = spawn(
      process.execPath,
      [program, 'mount', '--cache-dir', cacheDirectory, ...flags, path, `image=${reference}`],
      // A Ctrl-C at the terminal is for the benchmark alone: it ends the mount.
      { stdio: ['ignore', log, log], detached: true, env: environment() },
    )
    closeSync(log)
    const mount = new RegistryfsMount(path, child, logFile)
    try {
      await mount.#answers()
    } catch (error) {
      await mount.stop().catch(() => undefined)
      throw error
    }
    return mount
  }

  /** In the mount. */
  get disk(): string {
    return join(this.path, 'image/disk/downloaded')
  }

  async indexBytes(): Promise<number> {
    const { images } = await this.#status()
    return images.flatMap(({ layers }) => layers).reduce((sum, layer) => sum + layer.indexBytes, 0)
  }

  async spans(): Promise<SpanCounts> {
    return (await this.#status()).spans
  }

  async #status(): Promise<Status> {
    // Another process: were the daemon stuck, this one would be too.
    const text = await run(['cat', join(this.path, '.registryfs/status.json')], { timeoutMs: 10_000 })
    return JSON.parse(text) as Status
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async peakResidentBytes(): Promise<number> {
    const text = await readFile(`/proc/${String(this.#child.pid)}/status`, 'utf8')
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1]
    if (kibibytes === undefined) throw new Error('the kernel does not tell the peak of memory')
    return Number(kibibytes) * 1024
  }

  /** Throws when it does not end well; nothing is left of it in any case. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child.pid === undefined) return
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
      await exited
      clearTimeout(timer)
    }
    if (findMount(this.path) !== undefined) await run(['umount', '-l', this.path])
    if (child.exitCode !== 0) throw new Error(`registryfs mount ended badly:\n${await this.#lastMessages()}`)
  }

  async #answers(): Promise<void> {
    const until = Date.now() + startTimeoutMs
    while (findMount(this.path)?.type !== 'fuse.registryfs') {
      if (this.#child.exitCode !== null || Date.now() > until)
        throw new Error(`registryfs did not mount:\n${await this.#lastMessages()}`)
      await sleep(10)
    }
    await run(['stat', this.path], { timeoutMs: startTimeoutMs })
  }

  async #lastMessages(): Promise<string> {
    const log = await readFile(this.#logFile, 'utf8').catch(() => '')
    return log.trim().split('\n').slice(-5).join('\n')
  }
}

/** Node 20 parses a system's authorities for 40 ms at each start when it is told of them; this registry speaks plain http. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== 'NODE_EXTRA_CA_CERTS'))
}

/** Runs the first pass alone. Resolves to the seconds that it took, without the start of the program. */
export async function indexSeconds(
  cacheDirectory: string,
  reference: string,
  options: CommandOptions,
): Promise<number> {
  const text = await run(
    [process.execPath, program, 'index', '--cache-dir', cacheDirectory, reference],
    options,
  )
  const seconds = /([\d.]+) s$/.exec(text.trim())?.[1]
  if (seconds === undefined) throw new Error(`registryfs index said: ${text}`)
  return Number(seconds)
}
