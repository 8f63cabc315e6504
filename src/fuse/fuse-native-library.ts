import { open } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { RegistryFsError } from '../util/errors.js'

/** Answers a request: 0 or a count, or a negative errno; then what the request gives. Exactly once. */
export type Reply = (result: number, ...values: unknown[]) => void

export type Handler = (reply: Reply, ...args: never[]) => void

/** What we use of fuse-native's class; it has no types of its own. */
export interface FuseNative {
  mount(callback: (error: Error | null | undefined) => void): void
  /** Its handlers are looked up by these names at every request. */
  [handler: `_op_${string}`]: Handler
}

export type FuseNativeConstructor = new (
  mountPoint: string,
  /** Only its keys count: which operations libfuse is told of. */
  operations: Readonly<Record<string, unknown>>,
  options: { readonly fsname: string; readonly timeout: false },
) => FuseNative

const require = createRequire(import.meta.url)

/** HOST when its binary cannot be loaded. */
export function loadFuseNative(): FuseNativeConstructor {
  try {
    return require('fuse-native') as FuseNativeConstructor
  } catch (error) {
    const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    if (message.includes('libfuse')) {
      throw new RegistryFsError('HOST', 'libfuse2 is not installed: apt-get install libfuse2', {
        cause: error,
      })
    }
    throw new RegistryFsError('HOST', `fuse-native cannot be loaded: ${message}`, { cause: error })
  }
}

/** HOST when this process may not mount. libfuse itself says so only on stderr, and in more words. */
export async function checkFuseDevice(allowOther: boolean): Promise<void> {
  try {
    const device = await open('/dev/fuse', 'r+')
    await device.close()
  } catch (error) {
    throw new RegistryFsError('HOST', deviceRefusal((error as NodeJS.ErrnoException).code), { cause: error })
  }
  if (allowOther && process.getuid?.() !== 0 && !userMayAllowOther()) {
    throw new RegistryFsError(
      'HOST',
      'allow_other needs root, or the line user_allow_other in /etc/fuse.conf',
    )
  }
}

function deviceRefusal(code: string | undefined): string {
  switch (code) {
    case 'ENOENT':
    case 'ENXIO':
    case 'ENODEV':
      return 'there is no /dev/fuse: modprobe fuse, or give the container the device (--device /dev/fuse)'
    case 'EACCES':
    case 'EPERM':
      return 'no permission to open /dev/fuse'
    default:
      return `/dev/fuse cannot be opened: ${code ?? 'unknown error'}`
  }
}

function userMayAllowOther(): boolean {
  try {
    return /^\s*user_allow_other\s*$/m.test(readFileSync('/etc/fuse.conf', 'utf8'))
  } catch {
    return false
  }
}
