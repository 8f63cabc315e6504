/**
 * The binding over the npm package fuse-native, that is libfuse2's high-level interface.
 *
 * libfuse reads /dev/fuse on threads of its own; each request crosses to the JavaScript thread by uv_async and holds its
 * libfuse thread until it is answered, so libuv's pool is not involved and waiting requests do not stop others. That
 * interface speaks of paths: path-walker.ts turns them into inodes. What it cannot do: byte names (shown-name.ts), tell of
 * interrupts (a killed reader is gone when its request is answered, at the latest at the deadline), times before 1970
 * or finer than a millisecond, lseek, cache for ever what never changes.
 *
 * libfuse ends threads beyond ten idle ones, and fuse-native keeps a uv_async of each for ever: more than ten requests
 * at once, for hours, slow it down. The native binding will have none of this.
 *
 * fuse-native has no options for most of what a mount needs, but passes on what stands behind a comma in `fsname`.
 * Its 15 s timeout answers a request and then the real answer comes too: it is off.
 */
import { closeOnExec } from '../native.js'
import { describeError, RegistryFsError } from '../util/errors.js'
import type { FuseBinding, FuseOperations, MountOptions, MountSession } from './binding.js'
import { fuseNativeHandlers } from './fuse-native-handlers.js'
import { checkFuseDevice } from './fuse-device.js'
import { loadFuseNative, type FuseNative } from './fuse-native-library.js'
import { FuseNativeSession, fuseDescriptors } from './fuse-native-session.js'
import { PathWalker } from './path-walker.js'

/** How long the kernel believes names and attributes; one value for all nodes of the mount, tags included. */
const attributeTimeoutMs = 1_000

/** Requests of readahead that may be under way at once; libfuse2's default is 12. */
const maxBackground = 48

/** The kernel sends INIT at once. */
const initTimeoutMs = 10_000

export const fuseNativeBinding: FuseBinding = {
  async mount(mountPoint, operations, options): Promise<MountSession> {
    await checkFuseDevice(options.allowOther)
    const library = loadFuseNative()
    const handlers = handlersFor(operations, options)
    const fuse = new library(mountPoint, handlers, { fsname: mountOptionList(options), timeout: false })
    for (const [name, handler] of Object.entries(handlers)) fuse[`_op_${name}`] = handler
    const before = new Set(fuseDescriptors())
    await answered(fuse, mountPoint)
    const descriptor = fuseDescriptors().find((one) => !before.has(one))
    if (descriptor === undefined) throw new RegistryFsError('HOST', 'the mount ended as soon as it began')
    // A umount that inherits the connection would keep it alive after us, and wait for itself.
    closeOnExec(Number(descriptor))
    return new FuseNativeSession(mountPoint, descriptor, options.log)
  },
}

function handlersFor(
  operations: FuseOperations,
  options: MountOptions,
): ReturnType<typeof fuseNativeHandlers> {
  return fuseNativeHandlers(operations, new PathWalker(operations, attributeTimeoutMs), options.log)
}

async function answered(fuse: FuseNative, mountPoint: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      clearTimeout(timer)
      reject(new RegistryFsError('HOST', `cannot mount ${mountPoint}: ${reason}`))
    }
    const timer = setTimeout(() => {
      fail('the kernel does not answer')
    }, initTimeoutMs)
    fuse.mount((error) => {
      clearTimeout(timer)
      if (error === null || error === undefined) resolve()
      else
        fail(
          error.message === 'fuse failed'
            ? 'the kernel refused it (no privilege to mount?)'
            : describeError(error),
        )
    })
  })
}

export function mountOptionList(options: MountOptions): string {
  const timeout = String(attributeTimeoutMs / 1000)
  const list = [
    // A comma would begin an option, a backslash escape one.
    options.source.replaceAll(/[^A-Za-z0-9._:/@=+-]/g, '_').slice(0, 200) || 'registryfs',
    'subtype=registryfs',
    'ro',
    'nosuid',
    'nodev',
    'use_ino',
    // prepareMountPoint has looked, and knows what the user wants.
    'nonempty',
    `entry_timeout=${timeout}`,
    `attr_timeout=${timeout}`,
    `max_background=${String(maxBackground)}`,
  ]
  if (options.noExec) list.push('noexec')
  if (options.allowOther) list.push('allow_other')
  if (options.defaultPermissions) list.push('default_permissions')
  return list.join(',')
}
