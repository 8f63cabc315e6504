import { stat } from 'node:fs/promises'
import type { LocalTransport } from '../registry/local-reference.js'
import { RegistryFsError } from '../util/errors.js'
import { ArchiveTree } from './archive-tree.js'
import { DirectoryTree } from './directory-tree.js'
import { DockerArchive } from './docker-archive.js'
import { fileError } from './file-error.js'
import { readDocument, type FileTree } from './file-tree.js'
import { FlatLayout } from './flat-layout.js'
import type { Layout } from './layout.js'
import { LegacyDockerArchive } from './legacy-docker-archive.js'
import { LocalFile } from './local-file.js'
import { OciLayout } from './oci-layout.js'
import type { OpenHandles } from './open-handles.js'
import { openNamedFile } from './safe-directory.js'

/** Throws NOT_FOUND where there is nothing, UNSUPPORTED for what can hold no image. */
export async function openTree(handles: OpenHandles, path: string): Promise<FileTree> {
  const status = await stat(path).catch((error: unknown) => {
    throw fileError(error, path)
  })
  if (status.isDirectory()) return new DirectoryTree(handles, path)
  if (status.isFile()) return ArchiveTree.open(new LocalFile(path, handles, async () => openNamedFile(path)))
  throw new RegistryFsError('UNSUPPORTED', `${path} is neither a directory nor an archive`)
}

/**
 * Which layout it is, its files say: names lie (podman's oci-dir was once a flat directory, and docker save writes
 * both an OCI layout and its own). The transport decides only where there are both.
 */
export async function openLayout(tree: FileTree, transport: LocalTransport): Promise<Layout> {
  const index = await readDocument(tree, 'index.json')
  const isOci = index !== undefined && (await tree.find('oci-layout')) !== undefined
  const manifest =
    isOci && transport !== 'docker-archive' ? undefined : await readDocument(tree, 'manifest.json')
  if (manifest !== undefined) {
    const list = parseList(manifest)
    return list === undefined ? new FlatLayout(tree, manifest) : DockerArchive.open(tree, list)
  }
  if (isOci) return OciLayout.open(tree, index)
  const repositories = await readDocument(tree, 'repositories')
  if (repositories !== undefined) {
    // All of it is read for its digests: an archive is looked at once, a directory for each question.
    if (tree instanceof ArchiveTree) return LegacyDockerArchive.open(tree, repositories)
    throw new RegistryFsError(
      'UNSUPPORTED',
      `${tree.path}: a docker archive from before Docker 1.10, unpacked: it is read as the tar that it was`,
    )
  }
  throw new RegistryFsError(
    'UNSUPPORTED',
    `${tree.path} is no image: neither oci-layout and index.json nor manifest.json or repositories is in it`,
  )
}

function parseList(bytes: Buffer): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString())
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
