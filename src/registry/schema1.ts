/**
 * Docker's manifests from before 2016 (distribution's "Image Manifest Version 2, Schema 1"): layers top-first and without
 * sizes, no config but what `history` repeats of each layer's. Signed ones are a JSON web signature in pretty form,
 * whose digest is that of the payload: the document as it was before the signatures were put in.
 */
import { digestOf, tryParseDigest, type Digest } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import type { Descriptor } from './descriptor.js'
import { isObject, parseObject, type JsonObject } from './json-object.js'
import { dockerConfig } from './media-types.js'

export interface Schema1Document {
  readonly kind: 'schema 1'
  readonly mediaType: string
  /** Base first, those that stand for nothing (`throwaway`) left out. */
  readonly blobSums: readonly Digest[]
  /** Made up from the top-most layer's, with its content in it. */
  readonly config: Descriptor
}

/** What schema 1 layers are, whatever they are called: gzip-compressed tars. */
export const schema1LayerType = 'application/vnd.docker.image.rootfs.diff.tar.gzip'

/** Throws PROTOCOL, or LIMIT beyond `maxLayers`. */
export function parseSchema1(
  document: JsonObject,
  mediaType: string,
  maxLayers: number,
  what: string,
): Schema1Document {
  if (document['schemaVersion'] !== 1) throw invalid(what, 'its schemaVersion is not 1')
  const { fsLayers, history } = document
  if (!Array.isArray(fsLayers) || !Array.isArray(history) || fsLayers.length !== history.length)
    throw invalid(what, 'its fsLayers and history do not match')
  if (fsLayers.length > maxLayers) {
    throw new RegistryFsError(
      'LIMIT',
      `${what}: ${String(fsLayers.length)} fsLayers, more than ${String(maxLayers)}`,
    )
  }
  const histories = history.map((entry: unknown) => parseHistory(entry, what))
  const blobSums = fsLayers.flatMap((layer: unknown, index) => {
    const sum = isObject(layer) ? layer['blobSum'] : undefined
    const digest = typeof sum === 'string' ? tryParseDigest(sum) : undefined
    if (digest === undefined) throw invalid(what, 'a blobSum is malformed')
    return histories[index]?.['throwaway'] === true ? [] : [digest]
  })
  return Object.freeze({
    kind: 'schema 1',
    mediaType,
    blobSums: Object.freeze(blobSums.reverse()),
    config: configOf(histories[0] ?? {}, document),
  })
}

/** The bytes that the digest of a manifest is of. */
export function payloadOf(bytes: Buffer, what: string): Buffer {
  // Cheap to rule out for all the others.
  if (!bytes.includes('"signatures"')) return bytes
  const document = parseObject(bytes, what)
  const { signatures } = document
  if (document['schemaVersion'] !== 1 || !Array.isArray(signatures) || signatures.length === 0) return bytes
  const signature: unknown = signatures[0]
  const header = isObject(signature) ? signature['protected'] : undefined
  if (typeof header !== 'string') throw invalid(what, 'its signature has no protected header')
  const { formatLength, formatTail } = parseObject(
    Buffer.from(header, 'base64url'),
    `${what}: the header of its signature`,
  )
  if (typeof formatTail !== 'string' || typeof formatLength !== 'number')
    throw invalid(what, 'its signature does not say what it is of')
  if (!Number.isSafeInteger(formatLength) || formatLength < 0 || formatLength > bytes.length)
    throw invalid(what, 'its signature is of more than the document')
  return Buffer.concat([bytes.subarray(0, formatLength), Buffer.from(formatTail, 'base64url')])
}

function parseHistory(entry: unknown, what: string): JsonObject {
  const text = isObject(entry) ? entry['v1Compatibility'] : undefined
  if (typeof text !== 'string') throw invalid(what, 'a history entry has no v1Compatibility')
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value)) return value
  } catch {
    // As for what is no object.
  }
  throw invalid(what, 'a v1Compatibility is not a JSON object')
}

function configOf(top: JsonObject, document: JsonObject): Descriptor {
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  const architecture = text(top['architecture']) || text(document['architecture'])
  const data = Buffer.from(
    JSON.stringify({ os: text(top['os']) || 'linux', architecture, rootfs: { diff_ids: [] } }),
  )
  return Object.freeze({
    mediaType: dockerConfig,
    digest: digestOf(data),
    size: data.length,
    annotations: {},
    data,
  })
}

function invalid(what: string, reason: string): RegistryFsError {
  return new RegistryFsError('PROTOCOL', `${what}: the manifest is invalid: ${reason}`)
}
