import type { Descriptor } from '../registry/descriptor.js'
import type { Reference } from '../registry/reference.js'
import type { FileRange } from '../local/file-tree.js'
import { compressionOf, magicBytes } from '../local/compression.js'
import type { ReadOptions } from '../util/abort.js'
import { RegistryFsError } from '../util/errors.js'
import type { Image, ImageNode } from './image.js'
import { StorageFile } from './storage-file.js'

/** Where the bytes of a file of an image lie, as they are, in a file of this machine. */
export interface LocalPlace {
  readonly path: string
  readonly offset: number
  readonly size: number
}

export type Locate = (reference: Reference, descriptor: Descriptor) => Promise<FileRange | undefined>

const comparedBytes = 64 << 10

/** Throws UNSUPPORTED, with the reason, for files whose bytes lie nowhere as they are. */
export async function localPlaceOf(
  image: Image,
  node: ImageNode,
  locate: Locate,
  options?: ReadOptions,
): Promise<LocalPlace> {
  const { size } = node.attributes
  if (node instanceof StorageFile) return { path: node.file.path, offset: 0, size }
  const { reference, manifest } = image
  if (reference.transport === undefined)
    throw unsupported('the image is in a registry: only files of local images can be read without us')
  const descriptor = manifest.layers.find(({ digest }) => digest === node.origin?.layer)
  const range = descriptor === undefined ? undefined : await locate(reference, descriptor)
  if (range === undefined || node.origin === undefined) throw unsupported('its layer is not a local file')
  const start = Buffer.alloc(Math.min(magicBytes, range.size))
  await range.file.readInto(range.offset, start)
  const compression = compressionOf(start)
  if (compression !== undefined)
    throw unsupported(
      `its layer is compressed with ${compression}: there are no bytes of the file to point to`,
    )
  const place = { path: range.file.path, offset: range.offset + node.origin.dataOffset, size }
  // A sparse member has holes that are not in the tar.
  const source = node.open()
  for (const offset of new Set([0, Math.max(0, size - comparedBytes)])) {
    const bytes = await source.read(offset, Math.min(comparedBytes, size - offset), options)
    const stored = Buffer.alloc(bytes.length)
    const fits = place.offset + offset + stored.length <= range.offset + range.size
    if (fits) await range.file.readInto(place.offset + offset, stored)
    if (!fits || !stored.equals(bytes)) throw unsupported('it is not stored in one piece')
  }
  return place
}

function unsupported(reason: string): RegistryFsError {
  return new RegistryFsError('UNSUPPORTED', reason)
}
