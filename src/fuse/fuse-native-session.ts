import { readdirSync, readlinkSync } from 'node:fs'
import type { Logger } from '../util/log.js'
import type { CloseReason, MountSession } from './binding.js'
import { KernelMount } from './kernel-mount.js'

/** A look at the descriptor table takes microseconds. */
const watchMs = 200

/**
 * fuse-native does not say when libfuse's loop ends. But libfuse closes its /dev/fuse then, and only then: when someone
 * unmounts and nobody uses the mount any more, or when the connection was aborted. So that is watched, without looking
 * at the mount, and not mountinfo, from which a mount is gone at once while its last files may be open for hours.
 */
export class FuseNativeSession implements MountSession {
  readonly mountPoint: string
  readonly closed: Promise<CloseReason>
  readonly #mount: KernelMount

  constructor(mountPoint: string, descriptor: string, log: Logger) {
    this.mountPoint = mountPoint
    this.#mount = new KernelMount(mountPoint, log)
    this.closed = this.#watch(descriptor)
    void this.#mount.raiseReadAhead()
  }

  async unmount(options: { readonly lazy: boolean }): Promise<void> {
    await this.#mount.unmount(options)
  }

  async #watch(descriptor: string): Promise<CloseReason> {
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (isFuseDescriptor(descriptor)) return
        clearInterval(timer)
        resolve()
      }, watchMs)
    })
    return this.#mount.clear()
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
