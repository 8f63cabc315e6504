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
