import { readdirSync, readlinkSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { CloseReason, MountSession } from './binding.js'
import { findMount, readMountInfo, type MountInfo } from './mountinfo.js'
import { mountType } from './mount-point.js'
import { unmountPath } from './unmount.js'

/** A look at the descriptor table takes microseconds. */
const watchMs = 200

/** The kernel's default of 128 KiB is one request at a time; this keeps eight under way. */
const readAheadKiB = 1024

/**
 * fuse-native does not say when libfuse's loop ends. But libfuse closes its /dev/fuse then, and only then: when someone
 * unmounts and nobody uses the mount any more, or when the connection was aborted. So that is watched, without looking
 * at the mount, and not mountinfo, from which a mount is gone at once while its last files may be open for hours.
 */
export class FuseNativeSession implements MountSession {
  readonly mountPoint: string
  readonly closed: Promise<CloseReason>
  readonly #log: Logger
  readonly #mount: MountInfo | undefined

  constructor(mountPoint: string, descriptor: string, log: Logger) {
    this.mountPoint = mountPoint
    this.#log = log
    this.#mount = findMount(mountPoint)
    this.closed = this.#watch(descriptor)
    if (this.#mount !== undefined) void this.#raiseReadAhead(this.#mount.device)
  }

  async unmount(options: { readonly lazy: boolean }): Promise<void> {
    if (!this.#isMounted()) return
    await unmountPath(this.mountPoint, options.lazy)
  }

  async #watch(descriptor: string): Promise<CloseReason> {
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (isFuseDescriptor(descriptor)) return
        clearInterval(timer)
        resolve()
      }, watchMs)
    })
    if (!this.#isMounted()) return 'unmounted'
    try {
      await unmountPath(this.mountPoint, true)
    } catch (error) {
      this.#log.warn({ mountPoint: this.mountPoint }, describeError(error))
    }
    return 'aborted'
  }

  #isMounted(): boolean {
    return readMountInfo().some((mount) => mount.type === mountType && mount.id === this.#mount?.id)
  }

  /** Only root may; others read ahead less. */
  async #raiseReadAhead(device: string): Promise<void> {
    try {
      await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, String(readAheadKiB))
    } catch (error) {
      this.#log.debug(`read ahead stays as it is: ${describeError(error)}`)
    }
  }
}

/** The numbers of this process's open /dev/fuse files. */
export function fuseDescriptors(): readonly string[] {
  return readdirSync('/proc/self/fd').filter(isFuseDescriptor)
}

function isFuseDescriptor(descriptor: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`) === '/dev/fuse'
  } catch {
    return false
  }
}
