import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { RegistryFsError } from '../util/errors.js'

/** HOST when this process may not mount, in one line. (libfuse says so on stderr, and in more words.) */
export async function checkFuseDevice(allowOther: boolean): Promise<void> {
  try {
    const device = await open('/dev/fuse', 'r+')
    await device.close()
  } catch (error) {
    throw new RegistryFsError('HOST', deviceRefusal((error as NodeJS.ErrnoException).code), { cause: error })
  }
  if (allowOther && process.getuid?.() !== 0 && !userMayAllowOther()) {
    throw new RegistryFsError(
      'HOST',
      'allow_other needs root, or the line user_allow_other in /etc/fuse.conf',
    )
  }
}

function deviceRefusal(code: string | undefined): string {
  switch (code) {
    case 'ENOENT':
    case 'ENXIO':
    case 'ENODEV':
      return 'there is no /dev/fuse: modprobe fuse, or give the container the device (--device /dev/fuse)'
    case 'EACCES':
    case 'EPERM':
      return 'no permission to open /dev/fuse'
    default:
      return `/dev/fuse cannot be opened: ${code ?? 'unknown error'}`
  }
}

function userMayAllowOther(): boolean {
  try {
    return /^\s*user_allow_other\s*$/m.test(readFileSync('/etc/fuse.conf', 'utf8'))
  } catch {
    return false
  }
}
