import { readFile } from 'node:fs/promises'

/** What says who may use which IDs, so that a test can say it. */
export interface IdFiles {
  readonly passwd: string
  readonly subuid: string
  readonly subgid: string
}

export const systemIdFiles: IdFiles = {
  passwd: '/etc/passwd',
  subuid: '/etc/subuid',
  subgid: '/etc/subgid',
}

/** From owners on disk to those in a container. */
export interface IdMap {
  uid(onDisk: number): number
  gid(onDisk: number): number
}

const sameIds: IdMap = { uid: (id) => id, gid: (id) => id }

interface IdRange {
  readonly start: number
  readonly count: number
}

/** What Linux shows in a user namespace for IDs that have no number there. */
const nobody = 65_534

/**
 * As `podman unshare` maps them for a user: that one is 0, the IDs that are his by subuid(5) and subgid(5) are those from 1
 * on. Where these files do not name him (his IDs may come from elsewhere) others stay as they are.
 */
export async function rootlessIdMap(owner: number, files: IdFiles): Promise<IdMap> {
  if (owner === 0) return sameIds
  const user = (await linesOf(files.passwd)).find(([, , uid]) => uid === String(owner))
  const names = [String(owner), ...(user === undefined ? [] : [user[0] ?? ''])]
  const group = user?.[3] === undefined ? owner : Number(user[3])
  const uids = await rangesOf(files.subuid, names)
  const gids = await rangesOf(files.subgid, names)
  return { uid: (id) => mapped(id, owner, uids), gid: (id) => mapped(id, group, gids) }
}

function mapped(id: number, own: number, ranges: readonly IdRange[]): number {
  if (id === own) return 0
  let first = 1
  for (const { start, count } of ranges) {
    if (id >= start && id < start + count) return first + id - start
    first += count
  }
  return ranges.length === 0 ? id : nobody
}

/** By their first ID, as containers/storage orders them. */
async function rangesOf(file: string, names: readonly string[]): Promise<readonly IdRange[]> {
  return (await linesOf(file))
    .filter(([name = '']) => names.includes(name))
    .map(([, start, count]) => ({ start: Number(start), count: Number(count) }))
    .filter(({ start, count }) => Number.isSafeInteger(start) && Number.isSafeInteger(count) && count > 0)
    .sort((a, b) => a.start - b.start)
}

async function linesOf(file: string): Promise<readonly (readonly string[])[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return text.split('\n').map((line) => line.trim().split(':'))
}
