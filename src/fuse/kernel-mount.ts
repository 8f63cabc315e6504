import { statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { CloseReason } from './binding.js'
import { findMount, readMountInfo, type MountInfo } from './mountinfo.js'
import { mountType } from './mount-point.js'
import { unmountPath } from './unmount.js'

/** The kernel's default is 128 KiB: one request at a time, and a short one. */
const readAheadKiB = 1024

/**
 * The mount as the kernel has it, told from others that come to stand at the same place. Its number and its device are not
 * enough, for the kernel gives both to the next mount of anybody as soon as they are free.
 */
export class KernelMount {
  readonly mountPoint: string
  readonly #mount: MountInfo | undefined
  readonly #birth: number | undefined
  readonly #log: Logger

  constructor(mountPoint: string, log: Logger) {
    this.mountPoint = mountPoint
    this.#log = log
    this.#mount = findMount(mountPoint)
    this.#birth = this.#mount && birthOf(this.#mount)
  }

  async unmount(options: { readonly lazy: boolean }): Promise<void> {
    const place = this.#place()
    if (place !== undefined) await unmountPath(place, options.lazy)
  }

  /** The connection has ended: why, and nothing of it is left. */
  async clear(): Promise<CloseReason> {
    const place = this.#place()
    if (place === undefined) return 'unmounted'
    try {
      await unmountPath(place, true)
    } catch (error) {
      // It may have been going away already.
      if (this.#place() !== undefined) this.#log.warn({ mountPoint: place }, describeError(error))
    }
    return 'aborted'
  }

  /** Only root may; others read ahead less. */
  async raiseReadAhead(): Promise<void> {
    if (this.#mount === undefined) return
    try {
      await writeFile(`/sys/class/bdi/${this.#mount.device}/read_ahead_kb`, String(readAheadKiB))
    } catch (error) {
      this.#log.debug(`read ahead stays as it is: ${describeError(error)}`)
    }
  }

  /** Where it is by now: a directory above it may have got another name. Undefined: it is gone. */
  #place(): string | undefined {
    const mount = this.#mount
    const there = readMountInfo().find(({ id }) => id === mount?.id)
    if (there?.type !== mountType || there.device !== mount?.device) return undefined
    const birth = birthOf(there)
    if (birth !== this.#birth) return undefined
    // Where there is no sysfs the place has to tell.
    return birth !== undefined || there.mountPoint === this.mountPoint ? there.mountPoint : undefined
  }
}

/** sysfs numbers what it shows of a device anew each time; undefined where there is no sysfs. Does not touch the mount. */
function birthOf({ device }: MountInfo): number | undefined {
  return statSync(`/sys/class/bdi/${device}`, { throwIfNoEntry: false })?.ino
}
