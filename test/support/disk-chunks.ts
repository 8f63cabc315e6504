import { DiskChunkStore } from '../../src/blob/disk-chunk-store.js'
import { silentLogger } from '../../src/util/log.js'

/** With room for whatever a test has. */
export function diskChunks(directory: string): DiskChunkStore {
  return storeOf(directory, false)
}

/** Where none are kept. */
export function noDiskChunks(directory: string): DiskChunkStore {
  return storeOf(directory, true)
}

function storeOf(directory: string, readOnly: boolean): DiskChunkStore {
  return new DiskChunkStore({
    directory,
    maximumBytes: readOnly ? 0 : 1 << 30,
    freeReserveBytes: 0,
    readOnly,
    log: silentLogger,
  })
}
