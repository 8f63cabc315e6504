import { digestAlgorithm, digestOf, tryParseDigest, type Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { isObject } from './json-object.js'

/** What an image names a blob with (OCI image-spec descriptor.md). */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes as stored (compressed). */
  readonly size: number
  readonly annotations: Readonly<Record<string, string>>
  /** Where else the blob is to be had, for registries that may not distribute it. */
  readonly urls?: readonly string[]
  /** The blob itself, checked against digest and size. */
  readonly data?: Buffer
}

/**
 * Forty times what any registry takes. A first pass has 32 bytes for each MiB of it, and an index must be read in one go
 * again.
 */
const maxSizeBytes = 8 * 2 ** 40
const maxMediaTypeLength = 255
const maxUrls = 16
const maxUrlLength = 4096

/** `where` is the descriptor's place in the document `what`. Throws PROTOCOL, or DIGEST_MISMATCH for its inline data. */
export function parseDescriptor(value: unknown, where: string, what: string): Descriptor {
  if (!isObject(value)) throw invalid(what, `its ${where} is not a descriptor`)
  const { mediaType, size } = value
  const digest = typeof value['digest'] === 'string' ? tryParseDigest(value['digest']) : undefined
  if (digest === undefined)
    throw invalid(what, `the digest of its ${where} is malformed or of an unknown algorithm`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(what, `the size of its ${where} is not a whole number`)
  }
  if (size > maxSizeBytes) {
    const sizes = `${String(size)} bytes, more than ${String(maxSizeBytes)}`
    throw new RegistryFsError('LIMIT', `${what}: its ${where} is said to have ${sizes}`, { layer: digest })
  }
  if (typeof mediaType !== 'string' || mediaType.length > maxMediaTypeLength) {
    throw invalid(what, `the mediaType of its ${where} is missing or too long`)
  }
  const urls = parseUrls(value['urls'])
  const data = parseData(value['data'], digest, size, `${what}: the data of its ${where}`)
  return Object.freeze({
    mediaType,
    digest,
    size,
    annotations: parseAnnotations(value['annotations']),
    ...(urls.length === 0 ? {} : { urls }),
    ...(data === undefined ? {} : { data }),
  })
}

function parseAnnotations(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return Object.freeze({})
  const strings = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return Object.freeze(Object.fromEntries(strings))
}

/** What is no URL is left out: the registry may have the blob all the same. */
function parseUrls(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return []
  const urls = (value as readonly unknown[]).filter(
    (url): url is string => typeof url === 'string' && url.length <= maxUrlLength && URL.canParse(url),
  )
  return Object.freeze(urls.slice(0, maxUrls))
}

/** OCI image-spec descriptor.md: base64, and it must be what digest and size say. */
function parseData(value: unknown, digest: Digest, size: number, what: string): Buffer | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw new RegistryFsError('PROTOCOL', `${what} is not a string`)
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length !== size || digestOf(bytes, digestAlgorithm(digest)) !== digest)
    throw new RegistryFsError('DIGEST_MISMATCH', `${what} is not what its digest and size say`)
  return bytes
}

function invalid(what: string, reason: string): RegistryFsError {
  return new RegistryFsError('PROTOCOL', `${what}: the manifest is invalid: ${reason}`)
}
