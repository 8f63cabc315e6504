/**
 * The binding over /dev/fuse itself, the default: threads of the addon read the kernel's requests, answer reads of what is in
 * memory and that xattrs are not there, JavaScript answers the others (fuse-server.ts), no libfuse takes part. Reads are up to
 * 1 MiB, names are bytes, inode numbers our own; what was proven stays in the kernel's cache; who gives up waiting is let go at
 * once.
 */
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import { mountFuse, openFuseChannel, type FuseChannel, type FuseChannelEvents } from '../native.js'
import { Deferred } from '../util/deferred.js'
import { describeError, RegistryFsError } from '../util/errors.js'
import type { CloseReason, FuseBinding, FuseOperations, MountOptions, MountSession } from './binding.js'
import { maxReadBytes } from './fuse-answers.js'
import { checkFuseDevice } from './fuse-device.js'
import { FuseServer } from './fuse-server.js'
import { KernelMount } from './kernel-mount.js'
import { ParkedReads } from './parked-reads.js'
import { Passthrough } from './passthrough.js'
import { unmountPath } from './unmount.js'

/** linux/mount.h */
const mountFlags = { readOnly: 1, noSetUserId: 2, noDevices: 4, noExec: 8 } as const

/** The kernel sends INIT at once. */
const initTimeoutMs = 10_000

export const nativeBinding: FuseBinding = {
  answersItself: true,
  async mount(mountPoint, operations, options): Promise<MountSession> {
    await checkFuseDevice(options.allowOther)
    const mounted = await mountFuse({ mountPoint, ...mountArguments(options) })
    if (mounted.descriptor < 0) {
      throw new RegistryFsError('HOST', `cannot mount ${mountPoint}: ${refusal(mounted)}`)
    }
    return NativeSession.start(mountPoint, mounted.descriptor, operations, options)
  },
}

class NativeSession implements MountSession {
  readonly mountPoint: string
  readonly closed: Promise<CloseReason>
  readonly #mount: KernelMount

  private constructor(mount: KernelMount, closed: Promise<CloseReason>) {
    this.mountPoint = mount.mountPoint
    this.#mount = mount
    this.closed = closed
  }

  static async start(
    mountPoint: string,
    descriptor: number,
    operations: FuseOperations,
    { log, passthrough, resident, bare }: MountOptions,
  ): Promise<MountSession> {
    const mount = await orUndone(
      mountPoint,
      () => new KernelMount(mountPoint, log),
      async () => {
        closeSync(descriptor)
        await unmountPath(mountPoint, true)
      },
    )
    const ready = new Deferred<void>()
    const ended = new Deferred<CloseReason>()
    const server: FuseServer = new FuseServer(operations, {
      answer: (unique, errno, parts) => channel.reply(unique, errno, parts),
      log,
      parked:
        resident &&
        new ParkedReads({
          park: (...read) => channel.park(...read),
          takeBack: (unique) => channel.takeBack(unique),
        }),
      passthrough: passthrough
        ? new Passthrough({
            open: (file) => channel.openBacking(file),
            close: (backing) => channel.closeBacking(backing),
            log,
          })
        : undefined,
      onInit: (error) => {
        if (error === undefined) ready.resolve()
        else ready.reject(error)
      },
    })
    const events: FuseChannelEvents = {
      onRequests: (bytes) => {
        server.take(bytes)
      },
      onEnd: () => {
        server.end()
        channel.close()
        ready.reject(new RegistryFsError('HOST', `the mount at ${mountPoint} ended as soon as it began`))
        void mount.clear().then(ended.resolve, ended.reject)
      },
      onTouched: (places) => {
        resident?.touched(places)
      },
    }
    const channel: FuseChannel = await orUndone(
      mountPoint,
      // It takes over the descriptor, whatever comes of it.
      () => openFuseChannel(descriptor, events, resident?.table, bare?.shared),
      async () => mount.clear(),
    )
    const timer = setTimeout(() => {
      ready.reject(new RegistryFsError('HOST', `cannot mount ${mountPoint}: the kernel does not answer`))
    }, initTimeoutMs)
    try {
      await ready.promise
    } catch (error) {
      channel.close()
      await mount.clear()
      throw error
    } finally {
      clearTimeout(timer)
    }
    void mount.raiseReadAhead()
    return new NativeSession(mount, ended.promise)
  }

  async unmount(options: { readonly lazy: boolean }): Promise<void> {
    await this.#mount.unmount(options)
  }
}

/** What there is no descriptor or no thread for leaves no mount behind that nobody serves: who looks at one waits for ever. */
async function orUndone<T>(mountPoint: string, make: () => T, undo: () => Promise<unknown>): Promise<T> {
  try {
    return make()
  } catch (error) {
    const problem = await undo().then(
      () => '',
      (reason: unknown) => `, and the dead mount is still there: ${describeError(reason)}`,
    )
    throw new RegistryFsError('HOST', `cannot mount ${mountPoint}: ${describeError(error)}${problem}`)
  }
}

/** What mount(2) and what fusermount3 are told. */
export function mountArguments(options: MountOptions): {
  readonly source: string
  readonly flags: number
  readonly kernelOptions: string
  readonly helperOptions: string
} {
  // A comma would begin an option, a backslash escape one.
  const source = options.source.replaceAll(/[^A-Za-z0-9._:/@=+-]/g, '_').slice(0, 200) || 'registryfs'
  const kernel = [`max_read=${String(maxReadBytes)}`]
  if (options.allowOther) kernel.push('allow_other')
  if (options.defaultPermissions) kernel.push('default_permissions')
  const helper = ['ro', 'nosuid', 'nodev', `fsname=${source}`, 'subtype=registryfs']
  if (options.noExec) helper.push('noexec')
  const { readOnly, noSetUserId, noDevices, noExec } = mountFlags
  return {
    source,
    flags: readOnly | noSetUserId | noDevices | (options.noExec ? noExec : 0),
    kernelOptions: kernel.join(','),
    helperOptions: [...helper, ...kernel].join(','),
  }
}

function refusal({ errno, step, message }: Awaited<ReturnType<typeof mountFuse>>): string {
  const name = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? 'unknown error'
  if (step === 'helper') {
    if (name === 'ENOENT') return 'neither root nor fusermount3: apt-get install fuse3'
    return (
      message
        .trim()
        .split('\n')[0]
        ?.replace(/^fusermount3?: /, '') || `fusermount3 failed (${name})`
    )
  }
  if (step === 'open') return `/dev/fuse cannot be opened (${name})`
  return name === 'EPERM'
    ? 'the kernel refused it (no privilege to mount?)'
    : `the kernel refused it (${name})`
}
