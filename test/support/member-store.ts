import { MemberFileStore, type MemberFileStoreOptions } from '../../src/blob/member-file-store.js'
import { MemoryCache } from '../../src/blob/memory-cache.js'
import { silentLogger } from '../../src/util/log.js'

/** With room for a GiB unless told, and what is there found. */
export async function memberStore(
  directory: string,
  options: Partial<MemberFileStoreOptions> = {},
): Promise<MemberFileStore> {
  const store = new MemberFileStore({
    directory,
    maximumBytes: 1 << 30,
    freeReserveBytes: 0,
    readOnly: false,
    pool: new MemoryCache(32 << 20).pool,
    log: silentLogger,
    ...options,
  })
  await store.scan()
  return store
}
