import { execFile } from 'node:child_process'
import { RegistryFsError } from '../util/errors.js'

/** umount(8) can hang on a network file system beside ours; fusermount does not look. */
const timeoutMs = 10_000

/**
 * Takes a mount away, by whatever tool this machine has. HOST when it cannot: busy, not mounted, or not ours. Always in a child
 * process: umount(8) may look at the mount, which only this process can answer.
 */
export async function unmountPath(mountPoint: string, lazy: boolean): Promise<void> {
  const fuse = lazy ? ['-uz', mountPoint] : ['-u', mountPoint]
  const attempts: [string, string[]][] = [
    ['fusermount3', fuse],
    ['fusermount', fuse],
  ]
  if (process.getuid?.() === 0) attempts.unshift(['umount', lazy ? ['-l', mountPoint] : [mountPoint]])
  let reason = 'neither umount nor fusermount is installed: apt-get install fuse3'
  for (const [command, args] of attempts) {
    const failure = await run(command, args)
    if (failure === undefined) return
    if (failure === 'missing') continue
    reason = failure
    break
  }
  const busy = /busy/i.test(reason)
  throw new RegistryFsError(
    'HOST',
    busy
      ? `${mountPoint} is busy (registryfs umount --lazy detaches it, open files go on)`
      : `cannot unmount ${mountPoint}: ${reason}`,
  )
}

/** Undefined when it worked, `missing` when there is no such command, else what it said. */
async function run(command: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = {
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      env: { ...process.env, LC_ALL: 'C' },
    } as const
    execFile(command, args, options, (error, _stdout, stderr) => {
      if (error === null) resolve(undefined)
      else if (error.code === 'ENOENT') resolve('missing')
      else resolve(stderr.trim().split('\n')[0] ?? error.message)
    })
  })
}
