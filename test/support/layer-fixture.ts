import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ChunkCache } from '../../src/blob/chunk-cache.js'
import { MemoryCache } from '../../src/blob/memory-cache.js'
import { Layer } from '../../src/layer/layer.js'
import type { LayerOptions } from '../../src/layer/layer-options.js'
import { PassTurns } from '../../src/layer/pass-turns.js'
import type { Descriptor } from '../../src/registry/descriptor.js'
import { digestOf, type DiffId } from '../../src/util/digest.js'
import { silentLogger } from '../../src/util/log.js'
import { diskChunks } from './disk-chunks.js'
import { MemoryBlob } from './memory-blob.js'
import { temporaryDirectory } from './temporary-directory.js'

export interface LayerFixture {
  readonly tar: Buffer
  readonly blob: MemoryBlob
  readonly descriptor: Descriptor
  readonly diffId: DiffId
  readonly directory: string
  /** As a process would that starts when the one before has ended: what is on disk stays, memory does not. */
  open(options?: Partial<LayerOptions>): Promise<Layer>
}

/** A layer whose blob is in memory, with a cache directory of its own. */
export async function layerFixture(
  t: TestContext,
  tar: Buffer,
  compressed: Buffer = gzipSync(tar),
  described: Partial<Descriptor> = {},
): Promise<LayerFixture> {
  const directory = await temporaryDirectory(t)
  const blob = new MemoryBlob(compressed)
  const descriptor: Descriptor = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: digestOf(compressed),
    size: compressed.length,
    annotations: {},
    ...described,
  }
  const diffId = digestOf(tar) as string as DiffId
  const caches: ChunkCache[] = []
  const open = async (options: Partial<LayerOptions> = {}): Promise<Layer> => {
    for (const before of caches) await before.settle()
    const disk = diskChunks(join(directory, 'chunks'))
    await disk.scan()
    const cache = new ChunkCache(new MemoryCache(128 << 20), disk)
    caches.push(cache)
    const layer = new Layer({
      descriptor,
      blob,
      cache,
      indexPath: join(directory, 'indexes', 'layer'),
      readOnly: false,
      zlib: false,
      diffId: async () => Promise.resolve(diffId),
      passes: new PassTurns(),
      readDeadlineMs: 10_000,
      log: silentLogger,
      ...options,
    })
    t.after(async () => {
      await layer.close()
      await cache.settle()
    })
    return layer
  }
  return { tar, blob, descriptor, diffId, directory, open }
}
