import { RegistryFsError } from '../util/errors.js'
import { formatBytes } from '../util/range.js'
import type { LocalFile } from './local-file.js'

/** Where some bytes lie in a file of this machine. */
export interface FileRange {
  readonly file: LocalFile
  readonly offset: number
  readonly size: number
}

/** Files by name: a directory, or an archive that stands for one. */
export interface FileTree {
  /** For errors. */
  readonly path: string
  /** `blobs/sha256/...`; undefined when there is no such file. */
  find(name: string): Promise<FileRange | undefined>
}

/** As containers/image has it for manifests. */
const maxDocumentBytes = 4 << 20

/** A whole small file; undefined when it is not there. */
export async function readDocument(
  tree: FileTree,
  name: string,
  maxBytes = maxDocumentBytes,
): Promise<Buffer | undefined> {
  const range = await tree.find(name)
  if (range === undefined) return undefined
  if (range.size > maxBytes)
    throw new RegistryFsError('LIMIT', `${tree.path}: ${name} is larger than ${formatBytes(maxBytes)}`)
  const bytes = Buffer.alloc(range.size)
  await range.file.readInto(range.offset, bytes)
  return bytes
}
