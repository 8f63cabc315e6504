/**
 * The composition root: from a configuration to everything that answers for images, in order, without logic of its
 * own. src/cli puts a FUSE binding or a command on top.
 */
import { join } from 'node:path'
import { CacheDirectory } from './blob/cache-directory.js'
import { ChunkCache } from './blob/chunk-cache.js'
import { DiskChunkStore } from './blob/disk-chunk-store.js'
import { DiskDocumentStore } from './blob/disk-document-store.js'
import type { DocumentStore } from './blob/document-store.js'
import { MemberFileStore } from './blob/member-file-store.js'
import { MemoryCache } from './blob/memory-cache.js'
import type { ResidentSpans } from './blob/resident-spans.js'
import type { CoreConfig } from './config.js'
import { ImageStore } from './image/image-store.js'
import { TagStore } from './image/tag-store.js'
import type { LayerStatus } from './layer/layer-status.js'
import { Layers } from './layer/layers.js'
import { MemberCopies, type MemberCopiesStatus } from './layer/member-copies.js'
import { ContainersStorage } from './local/containers-storage.js'
import type { FileRange } from './local/file-tree.js'
import { LocalImages } from './local/local-images.js'
import { OpenHandles } from './local/open-handles.js'
import { returnFreedMemory } from './native.js'
import { authFilePaths } from './registry/credentials/auth-file-paths.js'
import { CredentialStore } from './registry/credentials/credential-store.js'
import { MirrorConfig } from './registry/mirrors/mirror-config.js'
import { RegistryClient } from './registry/registry-client.js'
import type { Descriptor } from './registry/descriptor.js'
import { formatReference, type Reference } from './registry/reference.js'
import type { Registry } from './registry/registry.js'
import type { Transport } from './registry/transport.js'
import type { Logger } from './util/log.js'
import { version } from './util/version.js'

export interface Core {
  readonly images: ImageStore
  readonly registry: Registry
  /** Where a blob lies in a file of this machine; undefined for those of registries, and what is not there. */
  locate(reference: Reference, descriptor: Descriptor): Promise<FileRange | undefined>
  /** Why the cache directory is only read, or not used at all; undefined when all is well. */
  readonly readOnlyReason: string | undefined
  /** That is because another process writes to it. */
  readonly isCacheInUse: boolean
  /** What /.registryfs/status.json shows of everything below the mount. */
  status(): Promise<CoreStatus>
  /** Waits until all that is to be kept of what was fetched is on disk. */
  settle(): Promise<void>
  close(): Promise<void>
}

export type CoreStatus = Awaited<ReturnType<typeof statusOf>> & {
  readonly materialized: MemberCopiesStatus | undefined
}

const claimEveryMs = 10_000

/** `resident`: is told what comes to memory and leaves it. */
export async function openCore(config: CoreConfig, log: Logger, resident?: ResidentSpans): Promise<Core> {
  returnFreedMemory()
  const directory = await CacheDirectory.open(config.cacheDirectory, log)
  // An eighth is for what is on its way: pooled buffers, replies, what waits for the garbage collector.
  const memory = new MemoryCache(Math.floor((config.memoryBytes * 7) / 8), resident)
  const disk = new DiskChunkStore({
    directory: join(directory.path, 'chunks'),
    maximumBytes: config.cacheBytes,
    freeReserveBytes: config.freeReserveBytes,
    get readOnly() {
      return directory.readOnly
    },
    log,
  })
  await disk.scan()
  const documents = new DiskDocumentStore(join(directory.path, 'documents'), directory, log)
  const tags = new TagStore(join(directory.path, 'tags'), directory, log)
  const registry = await openRegistry(config, documents, log)
  const cache = new ChunkCache(memory, disk)
  const copies = await openCopies(config, directory, memory, log)
  const layers = new Layers({
    cache,
    indexDirectory: join(directory.path, 'indexes'),
    get readOnly() {
      return directory.readOnly
    },
    zlib: config.inflate === 'zlib',
    readDeadlineMs: config.readDeadlineMs,
    copies,
    log,
  })
  const claiming = keepClaiming(directory, async () => disk.scan(true))
  const handles = new OpenHandles()
  const local = {
    blobs: new LocalImages(handles, config.platform),
    storage: new ContainersStorage(handles, config.platform),
  }
  const images = new ImageStore({ registry, local, layers, tags, tagTtlMs: config.tagTtlMs, log })
  return {
    images,
    registry,
    locate: async (reference, descriptor) =>
      reference.transport === undefined || reference.transport === 'containers-storage'
        ? undefined
        : local.blobs.locate(reference, descriptor),
    get readOnlyReason() {
      return directory.readOnlyReason
    },
    get isCacheInUse() {
      return directory.isInUse
    },
    status: async () => ({
      ...(await statusOf(images, registry, memory, disk, directory.readOnlyReason)),
      materialized: copies?.status(),
    }),
    settle: async () => cache.settle(),
    close: async () => {
      clearInterval(claiming)
      await copies?.close()
      await layers.close()
      await registry.close()
      handles.close()
      await cache.settle()
    },
  }
}

/** Whoever has the directory may end long before we do. */
function keepClaiming(directory: CacheDirectory, learn: () => Promise<void>): NodeJS.Timeout | undefined {
  if (!directory.readOnly) return undefined
  let isBusy = false
  const timer = setInterval(() => {
    if (isBusy) return
    isBusy = true
    void directory.claimAgain(learn).then((isDone) => {
      isBusy = false
      if (isDone) clearInterval(timer)
    })
  }, claimEveryMs)
  return timer.unref()
}

async function openCopies(
  { materializeBytes, freeReserveBytes }: CoreConfig,
  { path, readOnlyReason }: CacheDirectory,
  memory: MemoryCache,
  log: Logger,
): Promise<MemberCopies | undefined> {
  if (materializeBytes === 0) return undefined
  const store = new MemberFileStore({
    directory: join(path, 'members'),
    maximumBytes: materializeBytes,
    freeReserveBytes,
    readOnly: readOnlyReason !== undefined,
    pool: memory.pool,
    log,
  })
  await store.scan()
  return new MemberCopies({ store, pool: memory.pool, log })
}

/** `observe`: see RegistryClientOptions. */
export async function openRegistry(
  config: CoreConfig,
  documents: DocumentStore,
  log: Logger,
  observe?: (sockets: Transport) => Transport,
): Promise<RegistryClient> {
  const credentials = new CredentialStore({ files: authFilePaths(config.authFile), log })
  await credentials.check()
  return new RegistryClient({
    documents,
    log,
    platform: config.platform,
    insecureHosts: config.insecureHosts,
    credentials,
    trust: { caFile: config.caFile },
    mirrors: MirrorConfig.load(config, log),
    userAgent: `registryfs/${version}`,
    timeouts: { stallMs: config.stallMs },
    ...(observe === undefined ? {} : { observe }),
  })
}

/** The status is wanted most while a registry is silent: what only the configs of images say can be left out. */
const configWaitMs = 1000

async function statusOf(
  images: ImageStore,
  registry: Registry,
  memory: MemoryCache,
  disk: DiskChunkStore,
  readOnlyReason: string | undefined,
) {
  const signal = AbortSignal.timeout(configWaitMs)
  const shown = await Promise.all(
    images.opened().map(async (image) => ({
      reference: formatReference(image.reference),
      digest: image.manifest.digest,
      platform: image.platform,
      layers: await image.layerStatus({ signal }),
    })),
  )
  return {
    version,
    pid: process.pid,
    uptimeSeconds: Math.round(process.uptime()),
    images: shown,
    /** What is shown as it was, for its registry cannot be asked. */
    uncheckedTags: images.unchecked(),
    cache: {
      memoryBytes: memory.usedBytes,
      memoryHits: memory.hits,
      memoryMisses: memory.misses,
      /** Reads that were answered from it by the threads that receive them. */
      memoryAnswers: memory.resident?.answers ?? 0,
      diskBytes: disk.usedBytes,
      diskError: disk.lastError,
      readOnly: readOnlyReason,
    },
    residentBytes: process.memoryUsage.rss(),
    requests: { ...registry.counters },
    spans: spansOf(shown.flatMap(({ layers }) => layers)),
  }
}

/** Of all layers; one that several images share counts once. */
function spansOf(layers: readonly LayerStatus[]): { inflated: number; inflatedAgain: number } {
  const each = [...new Map(layers.map((layer) => [layer.digest, layer])).values()]
  return {
    inflated: each.reduce((sum, { spansInflated }) => sum + spansInflated, 0),
    inflatedAgain: each.reduce((sum, { spansInflatedAgain }) => sum + spansInflatedAgain, 0),
  }
}
