import { getSystemErrorName } from 'node:util'
import { listXattrs } from '../native.js'
import { RegistryFsError } from './errors.js'

/** Linux' own bound of a value and of a list of names (limits.h). */
const maxXattrBytes = 64 << 10

/** Of what is at the path itself: symbolic links are not followed. Rejects with the system's error. */
export async function readXattrs(path: Buffer): Promise<ReadonlyMap<string, Buffer>> {
  if (path.includes(0)) throw new RegistryFsError('INVALID', 'a path with a NUL in it')
  const found = await listXattrs(path, maxXattrBytes)
  if (typeof found === 'number') {
    const code = getSystemErrorName(-found)
    throw Object.assign(new Error(`${code}: cannot read extended attributes`), { code, errno: -found })
  }
  const xattrs = new Map<string, Buffer>()
  for (let i = 0; i + 1 < found.length; i += 2) xattrs.set(String(found[i]), found[i + 1] as Buffer)
  return xattrs
}
