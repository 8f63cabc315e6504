import { writeFile } from 'node:fs/promises'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import type { CloseReason } from './binding.js'
import { findMount, readMountInfo, type MountInfo } from './mountinfo.js'
import { mountType } from './mount-point.js'
import { unmountPath } from './unmount.js'

/** The kernel's default is 128 KiB: one request at a time, and a short one. */
const readAheadKiB = 1024

/** The mount as the kernel has it, recognised by its number: another may come to stand at the same place. */
export class KernelMount {
  readonly mountPoint: string
  readonly #mount: MountInfo | undefined
  readonly #log: Logger

  constructor(mountPoint: string, log: Logger) {
    this.mountPoint = mountPoint
    this.#log = log
    this.#mount = findMount(mountPoint)
  }

  async unmount(options: { readonly lazy: boolean }): Promise<void> {
    if (!this.#isMounted()) return
    await unmountPath(this.mountPoint, options.lazy)
  }

  /** The connection has ended: why, and nothing of it is left. */
  async clear(): Promise<CloseReason> {
    if (!this.#isMounted()) return 'unmounted'
    try {
      await unmountPath(this.mountPoint, true)
    } catch (error) {
      // It may have been going away already.
      if (this.#isMounted()) this.#log.warn({ mountPoint: this.mountPoint }, describeError(error))
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

  #isMounted(): boolean {
    return readMountInfo().some((mount) => mount.type === mountType && mount.id === this.#mount?.id)
  }
}
