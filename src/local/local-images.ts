/**
 * Images in directories and archives of this machine, as a source of images like a registry. A place is looked at
 * anew for each question about it, but an archive's members are indexed once as long as the file is the same.
 */
import { LRUCache } from 'lru-cache'
import type { BlobSource } from '../blob/source.js'
import type { Descriptor } from '../registry/descriptor.js'
import type { LocalTransport } from '../registry/local-reference.js'
import { parseManifest, type Manifest } from '../registry/manifest.js'
import { narrowManifest, type FoundManifest } from '../registry/narrow-manifest.js'
import type { Platform } from '../registry/platform.js'
import type { Reference, Repository } from '../registry/reference.js'
import type { ImageManifest, ImageSource } from '../registry/registry.js'
import { verifyDigest, type Digest } from '../util/digest.js'
import { hasCode, RegistryFsError } from '../util/errors.js'
import { ArchiveTree } from './archive-tree.js'
import type { FileRange } from './file-tree.js'
import type { Layout, NamedImage } from './layout.js'
import { LocalBlob } from './local-blob.js'
import type { OpenHandles } from './open-handles.js'
import { openLayout, openTree } from './recognise.js'
import { selectImage } from './select-image.js'

interface Archive {
  readonly tree: ArchiveTree
  readonly layout: Layout
}

const maxDocumentBytes = 4 << 20

export class LocalImages implements ImageSource {
  readonly #handles: OpenHandles
  readonly #platform: Platform
  readonly #archives = new LRUCache<string, Archive>({ max: 64 })

  constructor(handles: OpenHandles, platform: Platform) {
    this.#handles = handles
    this.#platform = platform
  }

  async fetchManifest(reference: Reference): Promise<ImageManifest> {
    const layout = await this.#layoutOf(reference)
    const what = placeOf(reference)
    const top =
      reference.digest === undefined
        ? select(layout, reference.tag, what)
        : { digest: reference.digest, mediaType: undefined }
    const manifestOf = async (digest: Digest, mediaType: string | undefined): Promise<Manifest> => {
      const bytes = await layout.manifestBytes(digest)
      if (bytes === undefined)
        throw new RegistryFsError('NOT_FOUND', `${what}: manifest ${digest} is not there`)
      verifyDigest(bytes, digest, `${what}: manifest ${digest}`)
      return parseManifest(bytes, mediaType, `${what}: ${digest}`)
    }
    const found: FoundManifest = {
      digest: top.digest,
      manifest: await manifestOf(top.digest, top.mediaType),
    }
    return narrowManifest(found, this.#platform, {
      nameOf: (digest) => `${what}: ${digest}`,
      manifestOf: async ({ digest, mediaType }) => manifestOf(digest, mediaType),
      sizeOf: async (digest) => {
        const range = await layout.findBlob(digest)
        if (range === undefined) throw new RegistryFsError('GONE', `${what}: blob ${digest} is not there`)
        return range.size
      },
    })
  }

  async resolveTag(reference: Reference): Promise<Digest | undefined> {
    if (reference.digest !== undefined) return reference.digest
    try {
      return select(await this.#layoutOf(reference), reference.tag, placeOf(reference)).digest
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  async fetchDocument(reference: Repository, descriptor: Descriptor): Promise<Buffer> {
    const what = `${placeOf(reference)}: ${descriptor.digest}`
    if (descriptor.data !== undefined) return descriptor.data
    if (descriptor.size > maxDocumentBytes)
      throw new RegistryFsError('LIMIT', `${what}: too large for a document`)
    const bytes = await this.openBlob(reference, descriptor).read(0, descriptor.size)
    verifyDigest(bytes, descriptor.digest, what)
    return bytes
  }

  openBlob(reference: Repository, descriptor: Descriptor): BlobSource {
    return new LocalBlob(descriptor, placeOf(reference), async () => this.locate(reference, descriptor))
  }

  /** Undefined when the blob is not there. */
  async locate(reference: Repository, descriptor: Descriptor): Promise<FileRange | undefined> {
    return (await this.#layoutOf(reference)).findBlob(descriptor.digest)
  }

  async #layoutOf({ path, transport = 'dir' }: Repository): Promise<Layout> {
    const key = `${transport}:${path}`
    const known = this.#archives.get(key)
    if (known !== undefined && (await known.tree.file.isCurrent())) return known.layout
    const tree = await openTree(this.#handles, path)
    const layout = await openLayout(tree, transport)
    if (tree instanceof ArchiveTree) this.#archives.set(key, { tree, layout })
    return layout
  }
}

/** `@N` in place of a name is the N-th of the list, from 0, as containers/image has it. */
function select(layout: Layout, tag: string | undefined, place: string): NamedImage {
  const [, index] = /^@(\d+)$/.exec(tag ?? '') ?? []
  if (index === undefined) return selectImage(layout.images, tag, place)
  const found = layout.imageAt(Number(index))
  if (found !== undefined) return found
  throw new RegistryFsError('NOT_FOUND', `${place}: no image @${index}: the list of manifests is shorter`)
}

function placeOf({ transport, path }: Repository): string {
  return `${transport as LocalTransport}:${path}`
}
