import { createHash } from 'node:crypto'
import { RegistryFsError } from './errors.js'

/** `algorithm:hex` of the bytes as the registry stores them (for a layer: compressed). */
export type Digest = string & { readonly __brand: 'Digest' }

/** `algorithm:hex` of a layer's uncompressed tar (the config's `rootfs.diff_ids`). */
export type DiffId = string & { readonly __brand: 'DiffId' }

const hexLength = { sha256: 64, sha512: 128 } as const
type Algorithm = keyof typeof hexLength

const pattern = /^(sha256|sha512):([0-9a-f]+)$/

/** Undefined when `text` is no digest of an algorithm that we can verify (OCI image-spec, descriptor.md). */
export function tryParseDigest(text: string): Digest | undefined {
  const match = pattern.exec(text)
  if (match === null || match[2]?.length !== hexLength[match[1] as Algorithm]) return undefined
  return text as Digest
}

/** Throws INVALID when `text` is no digest of an algorithm that we can verify. */
export function parseDigest(text: string): Digest {
  const digest = tryParseDigest(text)
  if (digest === undefined)
    throw new RegistryFsError('INVALID', `not a digest: ${JSON.stringify(text.slice(0, 200))}`)
  return digest
}

/** Throws INVALID like parseDigest. */
export function parseDiffId(text: string): DiffId {
  return parseDigest(text) as string as DiffId
}

export function digestAlgorithm(digest: Digest | DiffId): Algorithm {
  return digest.slice(0, digest.indexOf(':')) as Algorithm
}

export function digestHex(digest: Digest | DiffId): string {
  return digest.slice(digest.indexOf(':') + 1)
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
}

/** Throws DIGEST_MISMATCH unless `bytes` have this digest. */
export function verifyDigest(bytes: Uint8Array, digest: Digest, what: string): void {
  const actual = digestOf(bytes, digestAlgorithm(digest))
  if (actual !== digest) {
    throw new RegistryFsError('DIGEST_MISMATCH', `${what} has digest ${actual}, expected ${digest}`)
  }
}
