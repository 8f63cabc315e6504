import { lstat } from 'node:fs/promises'
import { Command } from 'commander'
import { findMount } from '../fuse/mountinfo.js'
import { findMountPoint, mountType } from '../fuse/mount-point.js'
import { unmountPath } from '../fuse/unmount.js'
import { RegistryFsError } from '../util/errors.js'
import { reportFailure } from './report-failure.js'

export function umountCommand(): Command {
  return new Command('umount')
    .description('unmount; the daemon ends when nobody uses the mount any more')
    .argument('<mountpoint>', 'where it is mounted; a mount whose daemon was killed as well')
    .option(
      '-l, --lazy',
      'also when it is busy: nobody new can enter, open files go on until they are closed',
    )
    .action(async (mountPoint: string, flags: { readonly lazy?: boolean }) => {
      try {
        await umount(mountPoint, flags.lazy ?? false)
      } catch (error) {
        reportFailure(error)
      }
    })
}

/** HOST when it is busy (unless lazy) or not a mount of ours. */
async function umount(mountPoint: string, lazy: boolean): Promise<void> {
  const path = await findMountPoint(mountPoint)
  const mount = findMount(path)
  if (mount === undefined && !(await isThere(path)))
    throw new RegistryFsError('HOST', `${path} does not exist`)
  if (mount?.type !== mountType) throw new RegistryFsError('HOST', `${path} is not a registryfs mount`)
  await unmountPath(path, lazy)
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: unknown) => (error as NodeJS.ErrnoException).code !== 'ENOENT',
  )
}
