import { execFile } from 'node:child_process'
import { lstat, opendir, readlink, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { RegistryFsError } from '../util/errors.js'
import type { Logger } from '../util/log.js'
import { findMount } from './mountinfo.js'
import { unmountPath } from './unmount.js'

export const mountType = 'fuse.registryfs'

/** A live mount answers within a round trip to its daemon. */
const probeTimeoutMs = 3_000

/** Symbolic links and mounts on top of each other that we follow before we give up. */
const maxSteps = 16

export interface MountPointOptions {
  readonly allowNonEmpty: boolean
  readonly log: Logger
}

/**
 * Makes sure that something can be mounted here, and clears away what a killed registryfs has left behind. Resolves to
 * the path as the kernel will show it; HOST with the reason otherwise. A mount is recognised in mountinfo and asked for
 * signs of life only by a child process with a time limit, because whoever touches a dead or hung one may wait for ever.
 */
export async function prepareMountPoint(path: string, options: MountPointOptions): Promise<string> {
  const at = await findMountPoint(path)
  for (let mounts = 0; mounts < maxSteps; mounts++) {
    const mount = findMount(at)
    if (mount === undefined) {
      await checkDirectory(at, options.allowNonEmpty)
      return at
    }
    if (mount.type !== mountType) throw host(`${at} is already a mount point (${mount.type})`)
    const state = await probe(at)
    if (state === 'live') throw host(`${at} is already mounted: registryfs umount ${at}`)
    if (state === 'hung') throw host(`${at} is mounted and does not answer: registryfs umount --lazy ${at}`)
    options.log.warn({ mountPoint: at }, 'clearing the stale mount of a registryfs that was killed')
    await unmountPath(at, true)
  }
  throw host(`mount point ${path} cannot be made free`)
}

/** Where the kernel has this path, symbolic links followed, without touching a mount that may be there. */
export async function findMountPoint(path: string): Promise<string> {
  let at = await canonicalPath(path)
  for (let links = 0; links < maxSteps && findMount(at) === undefined; links++) {
    const target = await readlink(at).catch(() => undefined)
    if (target === undefined) break
    at = await canonicalPath(resolve(dirname(at), target))
  }
  return at
}

async function checkDirectory(path: string, allowNonEmpty: boolean): Promise<void> {
  const stats = await lstat(path).catch((error: unknown) => {
    throw refusal(path, error)
  })
  if (!stats.isDirectory()) throw host(`mount point ${path} is not a directory`)
  if (allowNonEmpty || (await isEmpty(path))) return
  throw host(`mount point ${path} is not empty (--nonempty mounts over it)`)
}

/** Without touching what the last component leads to. */
async function canonicalPath(path: string): Promise<string> {
  const absolute = resolve(path)
  if (absolute === '/') throw host('the root directory cannot be the mount point')
  const parent = await realpath(dirname(absolute)).catch((error: unknown) => {
    throw refusal(absolute, error)
  })
  return join(parent, basename(absolute))
}

async function isEmpty(path: string): Promise<boolean> {
  try {
    const directory = await opendir(path)
    const first = await directory.read()
    await directory.close()
    return first === null
  } catch (error) {
    throw refusal(path, error)
  }
}

async function probe(path: string): Promise<'live' | 'stale' | 'hung'> {
  return new Promise((settle) => {
    // statfs, for of a daemon that died within the last second the kernel still tells the attributes.
    const child = execFile(
      'stat',
      ['-f', '-c', '%T', path],
      { env: { ...process.env, LC_ALL: 'C' } },
      (error) => {
        clearTimeout(timer)
        // EACCES (another user's mount) is an answer too.
        const dead = error !== null && /not connected|ENOTCONN|aborted/i.test(error.message)
        settle(dead ? 'stale' : 'live')
      },
    )
    // A process that waits for a hung mount cannot be killed; it must not keep us.
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      child.unref()
      settle('hung')
    }, probeTimeoutMs)
  })
}

function refusal(path: string, error: unknown): RegistryFsError {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return host(`mount point ${path} does not exist`)
  if (code === 'ENOTDIR') return host(`mount point ${path} is not a directory`)
  if (code === 'EACCES') return host(`no permission for mount point ${path}`)
  return host(`mount point ${path}: ${error instanceof Error ? error.message : String(error)}`)
}

function host(message: string): RegistryFsError {
  return new RegistryFsError('HOST', message)
}
