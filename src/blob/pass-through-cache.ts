import { ChunkCache } from './chunk-cache.js'

/** For blobs that are on this machine: their file is all the cache that they need. The memory still serves spans. */
export class PassThroughCache extends ChunkCache {
  constructor(cache: ChunkCache) {
    super(cache.memory, cache.disk)
  }

  override has(): boolean {
    return false
  }

  override async find(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  override locate(): undefined {
    return undefined
  }

  override async saveLent(): Promise<void> {
    return Promise.resolve()
  }

  override put(): void {
    // It stays where it is.
  }
}
