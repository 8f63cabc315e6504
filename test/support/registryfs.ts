import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LayerStatus } from '../../src/layer/layer-status.js'
import { packageRoot } from '../../src/util/package-root.js'
import type { FakeRegistry } from './fake-registry.js'
import { mounted, run, type Mounted, type MountedOptions, type Ran } from './mounted.js'

/** The program as it is installed. `make build` makes it. */
export const program = join(packageRoot, 'bin/registryfs')

export interface CommandOptions {
  readonly cache: string
  readonly timeoutMs?: number
}

/** `registryfs WORD... --cache-dir CACHE`. */
export async function registryfs(options: CommandOptions, ...words: readonly string[]): Promise<Ran> {
  return run(
    process.execPath,
    [program, ...words, '--cache-dir', options.cache],
    options.timeoutMs ?? 120_000,
  )
}

export interface RegistryMountOptions extends Partial<MountedOptions> {
  readonly cache: string
  /** `[ALIAS=]REFERENCE` each. */
  readonly images?: readonly string[]
  readonly flags?: readonly string[]
}

/** `registryfs mount` in the foreground with JSON logs. */
export async function mountImages(test: TestContext, options: RegistryMountOptions): Promise<Mounted> {
  const { cache, images = [], flags = [], ...rest } = options
  const mount = await mounted(test, {
    command: [program, 'mount', '--cache-dir', cache, ...flags],
    args: images,
    ...rest,
  })
  test.after(() => {
    for (const line of complaints(mount.log())) test.diagnostic(line)
  })
  return mount
}

export interface Status {
  readonly images: readonly {
    readonly reference: string
    readonly layers: readonly LayerStatus[]
  }[]
  readonly cache: {
    /** Reads that threads of the addon answered, from memory or as they inflated. */
    readonly memoryAnswers: number
  }
  readonly requests: {
    readonly manifestRequests: number
    readonly blobRequests: number
    readonly tokenRequests: number
    /** Body bytes of blobs. */
    readonly blobBytes: number
  }
  readonly mount: {
    /** Of the kernel, by name. */
    readonly requests: Readonly<Record<string, number>>
    /** Of those, without JavaScript. */
    readonly answeredByThreads: { readonly read: number; readonly getxattr: number }
  }
  readonly spans: { readonly inflated: number; readonly inflatedAgain: number }
}

/** /.registryfs/status.json of a mount. */
export async function statusOf(mount: Mounted): Promise<Status> {
  const { code, stdout, stderr } = await run('cat', [join(mount.path, '.registryfs/status.json')])
  if (code !== 0) throw new Error(`status.json: ${stderr}`)
  return JSON.parse(stdout) as Status
}

/** Waits until the first pass over the first layer has ended well: the last bytes are read before they are proven. */
export async function untilReady(mount: Mounted): Promise<void> {
  for (;;) {
    const state = (await statusOf(mount)).images[0]?.layers[0]?.state
    if (state === 'ready') return
    if (state === 'failed') throw new Error(`the first pass has failed\n${mount.log()}`)
    await sleep(50)
  }
}

/** Lines of a JSON log that are warnings or worse. */
export function complaints(log: string): readonly string[] {
  return log
    .split('\n')
    .filter((line) => line !== '')
    .filter((line) => !/^\{"level":(10|20|30|"(trace|debug|info)")/.test(line))
}

/** sha256 of a file, read by a child process. */
export async function sha256sum(path: string, timeoutMs = 120_000): Promise<string> {
  const { code, stdout, stderr } = await run('sha256sum', [path], timeoutMs)
  if (code !== 0) throw new Error(`sha256sum: ${stderr}`)
  return stdout.slice(0, 64)
}

export function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Body bytes of blobs that a registry has sent, by itself or by its CDN; without what it refused. */
export function blobBytesSent(registry: FakeRegistry): number {
  return registry.requests
    .filter(({ kind, status }) => (kind === 'blob' || kind === 'cdn') && (status === 200 || status === 206))
    .reduce((sum, { bytesSent }) => sum + bytesSent, 0)
}
