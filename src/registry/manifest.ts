import { RegistryFsError } from '../util/errors.js'
import { parseDescriptor, type Descriptor } from './descriptor.js'
import { isObject, parseObject, type JsonObject } from './json-object.js'
import * as mediaTypes from './media-types.js'
import { normalisePlatform, type Platform } from './platform.js'
import { parseSchema1, type Schema1Document } from './schema1.js'

/**
 * Manifests and indexes as a registry sends them, believed in nothing: sizes and counts are bounded, digests are of
 * an algorithm that can be verified, and a document that could be read both ways is refused (CVE-2021-41190).
 */
export type Manifest = ImageDocument | IndexDocument | Schema1Document

export interface ImageDocument {
  readonly kind: 'image'
  readonly mediaType: string
  readonly config: Descriptor
  /** Base first. */
  readonly layers: readonly Descriptor[]
}

export interface IndexDocument {
  readonly kind: 'index'
  readonly mediaType: string
  readonly entries: readonly IndexEntry[]
}

export interface IndexEntry {
  readonly descriptor: Descriptor
  readonly platform: Platform | undefined
  /** BuildKit's statements about the others, no image. */
  readonly isAttestation: boolean
}

/** containerd and docker stop at 127 mounted layers; squashed artifacts and ostree images have up to some hundreds. */
export const maxLayers = 1000
/** The largest indexes in use (OSes times architectures) have some dozens. */
const maxIndexEntries = 1000

/**
 * `contentType`: the header as received, or a descriptor's mediaType; undefined when unknown (from a store).
 * `what` names the document in errors. Throws PROTOCOL, LIMIT, DIGEST_MISMATCH, or UNSUPPORTED for other types.
 */
export function parseManifest(bytes: Buffer, contentType: string | undefined, what: string): Manifest {
  const document = parseObject(bytes, what)
  const mediaType = mediaTypeOf(document, contentType, what)
  if (document['manifests'] !== undefined && document['layers'] !== undefined) {
    throw protocol(what, 'it is both an index and a manifest')
  }
  switch (mediaType) {
    case mediaTypes.ociIndex:
    case mediaTypes.dockerList:
      return parseIndex(document, mediaType, what)
    case mediaTypes.ociManifest:
    case mediaTypes.dockerManifest:
      return parseImage(document, mediaType, what)
    case mediaTypes.dockerSchema1:
    case mediaTypes.dockerSchema1Signed:
      return parseSchema1(document, mediaType, maxLayers, what)
    default:
      throw new RegistryFsError(
        'UNSUPPORTED',
        `${what}: manifests of type ${printable(mediaType)} are not supported`,
      )
  }
}

/** The type without parameters, in lower case; undefined when it says nothing about the kind of document. */
function specificType(contentType: string | undefined): string | undefined {
  const type = contentType?.split(';')[0]?.trim().toLowerCase()
  return type?.startsWith('application/vnd.') === true ? type : undefined
}

function mediaTypeOf(document: JsonObject, contentType: string | undefined, what: string): string {
  const outer = specificType(contentType)
  const inner = document['mediaType']
  if (inner !== undefined && inner !== '' && typeof inner !== 'string')
    throw protocol(what, 'its mediaType is not a string')
  if (typeof inner === 'string' && inner !== '') {
    if (outer !== undefined && outer !== inner) {
      throw protocol(what, `it is sent as ${printable(outer)} but calls itself ${printable(inner)}`)
    }
    return inner
  }
  return outer ?? guessMediaType(document, what)
}

/** As containers/image GuessMIMEType, for stored documents and registries that leave the type out. */
function guessMediaType(document: JsonObject, what: string): string {
  if (document['schemaVersion'] === 1) return mediaTypes.dockerSchema1
  if (Array.isArray(document['manifests'])) return mediaTypes.ociIndex
  if (isObject(document['config'])) {
    return document['config']['mediaType'] === 'application/vnd.docker.container.image.v1+json'
      ? mediaTypes.dockerManifest
      : mediaTypes.ociManifest
  }
  throw protocol(what, 'it is neither an image manifest nor an index')
}

function parseImage(document: JsonObject, mediaType: string, what: string): ImageDocument {
  if (document['schemaVersion'] !== 2) throw protocol(what, 'its schemaVersion is not 2')
  const layers = parseArray(document['layers'] ?? [], maxLayers, 'layers', what)
  return Object.freeze({
    kind: 'image',
    mediaType,
    config: parseDescriptor(document['config'], 'config', what),
    layers: Object.freeze(
      layers.map((layer, index) => parseDescriptor(layer, `layers[${String(index)}]`, what)),
    ),
  })
}

function parseIndex(document: JsonObject, mediaType: string, what: string): IndexDocument {
  if (document['schemaVersion'] !== 2) throw protocol(what, 'its schemaVersion is not 2')
  const entries = parseArray(document['manifests'], maxIndexEntries, 'manifests', what)
  return Object.freeze({
    kind: 'index',
    mediaType,
    entries: Object.freeze(
      entries.map((entry, index) => parseEntry(entry, `manifests[${String(index)}]`, what)),
    ),
  })
}

function parseEntry(value: unknown, where: string, what: string): IndexEntry {
  const descriptor = parseDescriptor(value, where, what)
  const platform = isObject(value) ? parseOfferedPlatform(value['platform']) : undefined
  const isAttestation =
    descriptor.annotations['vnd.docker.reference.type'] !== undefined ||
    (platform?.os === 'unknown' && platform.architecture === 'unknown')
  return Object.freeze({ descriptor, platform, isAttestation })
}

/** Undefined when it names no platform. */
export function parseOfferedPlatform(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined
  const { os, architecture, variant } = value
  if (typeof os !== 'string' || typeof architecture !== 'string' || os === '' || architecture === '')
    return undefined
  return normalisePlatform(os, architecture, typeof variant === 'string' ? variant : '')
}

function parseArray(value: unknown, max: number, where: string, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw protocol(what, `its ${where} are not a list`)
  if (value.length > max) {
    throw new RegistryFsError('LIMIT', `${what}: ${String(value.length)} ${where}, more than ${String(max)}`)
  }
  return value as readonly unknown[]
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 120))
}

function protocol(what: string, reason: string): RegistryFsError {
  return new RegistryFsError('PROTOCOL', `${what}: the manifest is invalid: ${reason}`)
}
