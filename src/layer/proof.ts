import type { BlobEvent, EndEvent } from '../native.js'
import { digestAlgorithm, digestHex, type Digest, type DiffId } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'

/** Throws DIGEST_MISMATCH unless a blob has the digest that the manifest says. */
export function proveBlob(event: BlobEvent | EndEvent, digest: Digest): void {
  const blob = { sha256: event.blobSha256, sha512: event.blobSha512 }[digestAlgorithm(digest)]
  if (blob?.toString('hex') !== digestHex(digest)) {
    throw new RegistryFsError('DIGEST_MISMATCH', `the layer's bytes have digest ${shown(digest, blob)}`)
  }
}

/** The same for the diff ID that the config says. */
export function proveTar(event: EndEvent, diffId: DiffId | undefined): void {
  if (diffId === undefined) return
  const tar = { sha256: event.tarSha256, sha512: event.tarSha512 }[digestAlgorithm(diffId)]
  // sha512 of the tar is known where the blob's was asked for.
  if (tar === undefined || tar.toString('hex') === digestHex(diffId)) return
  throw new RegistryFsError(
    'DIGEST_MISMATCH',
    `the layer's tar has diff ID ${shown(diffId, tar)}, the config says ${diffId}`,
  )
}

function shown(like: Digest | DiffId, actual: Buffer | undefined): string {
  return `${digestAlgorithm(like)}:${actual?.toString('hex') ?? 'unknown'}`
}
