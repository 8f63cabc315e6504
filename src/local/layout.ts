import type { Digest } from '../util/digest.js'
import type { FileRange } from './file-tree.js'

/** What a place on this machine has: one form of it for each kind of layout. */
export interface Layout {
  readonly images: readonly NamedImage[]
  /** By its place in the list of manifests, from 0. */
  imageAt(index: number): NamedImage | undefined
  /** A manifest or an index, not yet checked; undefined when it is not there. */
  manifestBytes(digest: Digest): Promise<Buffer | undefined>
  /** Undefined when it is not there. */
  findBlob(digest: Digest): Promise<FileRange | undefined>
}

export interface NamedImage {
  readonly digest: Digest
  /** Undefined when only its content says. */
  readonly mediaType: string | undefined
  /** By which a reference can ask for it. */
  readonly names: readonly string[]
}
