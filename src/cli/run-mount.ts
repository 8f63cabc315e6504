import { ResidentSpans } from '../blob/resident-spans.js'
import type { FuseBinding, MountSession } from '../fuse/binding.js'
import { prepareMountPoint } from '../fuse/mount-point.js'
import { TreeOperations } from '../fuse/operations.js'
import type { Image, Images } from '../image/image.js'
import type { Reference } from '../registry/reference.js'
import { BareInodes } from '../tree/bare-inodes.js'
import type { ListingSource } from '../tree/listings.js'
import { Tree } from '../tree/tree.js'
import { describeError } from '../util/errors.js'
import type { Logger } from '../util/log.js'

/** What a mount needs of everything below it. */
export interface MountableCore {
  /** Which learns from us what is open. */
  readonly images: Images & { isPinned: (image: Image) => boolean }
  readonly registry: ListingSource
  status(): Promise<object>
  close(): Promise<void>
}

export interface MountPlan {
  readonly mountPoint: string
  readonly aliases: ReadonlyMap<string, Reference>
  /** No other names lead to images. */
  readonly onlyAliases?: boolean
  readonly defaultHost: string
  readonly configuredHosts: readonly string[]
  readonly readDeadlineMs: number
  /** What mount(8) shows as the device. */
  readonly source: string
  readonly allowOther: boolean
  readonly defaultPermissions: boolean
  readonly noExec: boolean
  /** The kernel is to read files of this machine by itself, where it can. */
  readonly passthrough: boolean
  readonly allowNonEmpty: boolean
}

export interface MountEnvironment {
  readonly binding: FuseBinding
  /** `resident`: what is in its memory is to be found there. */
  readonly openCore: (resident?: ResidentSpans) => Promise<MountableCore>
  readonly log: Logger
  /** The mount answers. */
  readonly onReady: () => Promise<void>
  /** Aborts: unmount and end. */
  readonly stop: AbortSignal
}

/** After a lazy unmount, how long open files may go on; then what waits is given up, and soon after everything. */
const drainMs = 2_000
const giveUpMs = 1_000

/** A core that does not close must not keep a daemon whose mount is gone. */
const closeMs = 5_000

/** Mounts and serves until somebody unmounts or `stop` aborts. HOST when it cannot mount. */
export async function runMount(plan: MountPlan, environment: MountEnvironment): Promise<void> {
  const { log, stop } = environment
  // First what fails soonest: nothing is fetched or locked for a mount point that is not there.
  const mountPoint = await prepareMountPoint(plan.mountPoint, { allowNonEmpty: plan.allowNonEmpty, log })
  const answersItself = environment.binding.answersItself === true
  const resident = answersItself ? new ResidentSpans() : undefined
  const bare = answersItself ? new BareInodes() : undefined
  const core = await environment.openCore(resident)
  try {
    const tree: Tree = new Tree({
      ...plan,
      images: core.images,
      registry: core.registry,
      status: async () => ({ ...(await core.status()), mount: { mountPoint, ...operations.status() } }),
    })
    core.images.isPinned = (image) => tree.openCount(image) > 0
    const operations: TreeOperations = new TreeOperations(tree, {
      deadlineMs: plan.readDeadlineMs,
      log,
      resident,
      bare,
    })
    const session = await environment.binding.mount(mountPoint, operations, { ...plan, log, resident, bare })
    log.info({ mountPoint }, 'mounted')
    if (!stop.aborted) await environment.onReady()
    const stopped = new Promise<'stopped'>((resolve) => {
      if (stop.aborted) resolve('stopped')
      stop.addEventListener('abort', () => {
        resolve('stopped')
      })
    })
    const reason = await Promise.race([session.closed, stopped])
    if (reason === 'stopped') await endSession(session, operations, log)
    else log.info({ mountPoint, reason }, 'the mount is gone')
  } finally {
    await within(closeMs, core.close())
  }
}

async function endSession(session: MountSession, operations: TreeOperations, log: Logger): Promise<void> {
  try {
    await session.unmount({ lazy: false })
  } catch {
    log.info({ mountPoint: session.mountPoint }, 'busy: detaching, open files are given a moment')
    try {
      await session.unmount({ lazy: true })
    } catch (error) {
      log.error(describeError(error))
    }
  }
  if (await within(drainMs, session.closed)) return
  operations.stop()
  if (!(await within(giveUpMs, session.closed))) log.warn('ending with files still open')
}

/** Whether `promise` settled in time. */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, ms, false)
  })
  try {
    return await Promise.race([promise.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
