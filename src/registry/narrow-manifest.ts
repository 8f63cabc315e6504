import type { Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { Semaphore } from '../util/semaphore.js'
import type { Descriptor } from './descriptor.js'
import { parseManifest, type IndexDocument, type Manifest } from './manifest.js'
import { isManifestType } from './media-types.js'
import { formatPlatform, rankPlatform, type Platform } from './platform.js'
import type { ImageManifest } from './registry.js'
import { schema1LayerType } from './schema1.js'

/** An index in an index is legal (OCI image-spec), deeper ones are not known. */
const maxIndexDepth = 4
const parallelSizes = 4

export interface FoundManifest {
  readonly digest: Digest
  readonly manifest: Manifest
}

/** Where the documents are that an index names: a registry, a directory, an archive. */
export interface ManifestSource {
  /** For errors: `quay.io: sha256:... of containerdisks/fedora`. */
  nameOf(digest: Digest): string
  manifestOf(descriptor: Descriptor): Promise<Manifest>
  /** Bytes of a blob whose manifest does not say. */
  sizeOf(digest: Digest): Promise<number>
}

/** From whatever a reference names to the image for a platform. NOT_FOUND when there is none, LIMIT for indexes too deep. */
export async function narrowManifest(
  top: FoundManifest,
  platform: Platform,
  source: ManifestSource,
): Promise<ImageManifest> {
  let current = top
  for (let depth = 0; ; depth++) {
    const { manifest, digest } = current
    const what = source.nameOf(digest)
    if (manifest.kind === 'image') {
      const { mediaType, config, layers } = manifest
      return Object.freeze({ digest, topDigest: top.digest, mediaType, config, layers })
    }
    if (manifest.kind === 'schema 1') {
      const { mediaType, config, blobSums } = manifest
      const layers = await layersOf(blobSums, source)
      return Object.freeze({ digest, topDigest: top.digest, mediaType, config, layers })
    }
    if (depth === maxIndexDepth) throw new RegistryFsError('LIMIT', `${what}: indexes nested too deeply`)
    const chosen = chooseEntry(manifest, platform, what)
    const inline =
      chosen.data === undefined
        ? undefined
        : parseManifest(chosen.data, chosen.mediaType, source.nameOf(chosen.digest))
    current = { digest: chosen.digest, manifest: inline ?? (await source.manifestOf(chosen)) }
  }
}

/** The best for the platform; an entry that names none is taken when it is the only one left, or all are so. */
function chooseEntry(index: IndexDocument, wanted: Platform, what: string): Descriptor {
  const entries = index.entries.filter(
    ({ isAttestation, descriptor }) => !isAttestation && isManifestType(descriptor.mediaType),
  )
  const ranked = entries.flatMap(({ descriptor, platform }) => {
    const rank = platform === undefined ? undefined : rankPlatform(wanted, platform)
    return rank === undefined ? [] : [{ descriptor, rank }]
  })
  // Stable: of equals the first, as the runtimes do.
  const best = ranked.sort((a, b) => a.rank - b.rank)[0]?.descriptor
  const unnamed = entries.filter((entry) => entry.platform === undefined)
  const fallback =
    unnamed.length === 1 || entries.length === unnamed.length ? unnamed[0]?.descriptor : undefined
  const chosen = best ?? fallback
  if (chosen !== undefined) return chosen
  const offered = [
    ...new Set(entries.map(({ platform }) => (platform === undefined ? '?' : formatPlatform(platform)))),
  ]
  const list = offered.length === 0 ? 'it is empty' : `it has ${offered.slice(0, 20).join(', ')}`
  throw new RegistryFsError('NOT_FOUND', `${what}: no image for ${formatPlatform(wanted)}: ${list}`)
}

/** The same digest may come several times: empty layers do. */
async function layersOf(blobSums: readonly Digest[], source: ManifestSource): Promise<readonly Descriptor[]> {
  const semaphore = new Semaphore(parallelSizes)
  const sizes = new Map<Digest, number>()
  await Promise.all(
    [...new Set(blobSums)].map(async (digest) =>
      semaphore.run(async () => sizes.set(digest, await source.sizeOf(digest))),
    ),
  )
  return Object.freeze(
    blobSums.map((digest) =>
      Object.freeze({
        mediaType: schema1LayerType,
        digest,
        size: sizes.get(digest) as number,
        annotations: {},
      }),
    ),
  )
}
