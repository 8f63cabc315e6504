import { createHash } from 'node:crypto'
import type { EndEvent } from '../native.js'
import { digestAlgorithm, digestHex, type Digest, type DiffId } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'

type BlobHashes = Pick<EndEvent, 'blobSha256' | 'blobSha512'>
type TarHashes = Pick<EndEvent, 'tarSha256' | 'tarSha512'>

/** Throws DIGEST_MISMATCH unless a blob has the digest that the manifest says. */
export function proveBlob(hashes: BlobHashes, digest: Digest): void {
  const blob = { sha256: hashes.blobSha256, sha512: hashes.blobSha512 }[digestAlgorithm(digest)]
  if (blob?.toString('hex') !== digestHex(digest)) {
    throw new RegistryFsError('DIGEST_MISMATCH', `the layer's bytes have digest ${shown(digest, blob)}`)
  }
}

/** The same for the diff ID that the config says. */
export function proveTar(hashes: TarHashes, diffId: DiffId | undefined): void {
  if (diffId === undefined) return
  const tar = { sha256: hashes.tarSha256, sha512: hashes.tarSha512 }[digestAlgorithm(diffId)]
  // sha512 of the tar is known where the blob's was asked for.
  if (tar === undefined || tar.toString('hex') === digestHex(diffId)) return
  throw new RegistryFsError(
    'DIGEST_MISMATCH',
    `the layer's tar has diff ID ${shown(diffId, tar)}, the config says ${diffId}`,
  )
}

/** Both of a layer of no bytes. */
export function proveEmpty(digest: Digest, diffId: DiffId | undefined): void {
  const sha256 = createHash('sha256').digest()
  const sha512 = createHash('sha512').digest()
  proveBlob({ blobSha256: sha256, blobSha512: sha512 }, digest)
  proveTar({ tarSha256: sha256, tarSha512: sha512 }, diffId)
}

function shown(like: Digest | DiffId, actual: Buffer | undefined): string {
  return `${digestAlgorithm(like)}:${actual?.toString('hex') ?? 'unknown'}`
}
