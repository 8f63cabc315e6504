import { tryParseDigest, type DiffId } from '../util/digest.js'
import { RegistryFsError } from '../util/errors.js'
import { isObject, parseObject } from './json-object.js'
import { maxLayers, parseOfferedPlatform } from './manifest.js'
import type { Platform } from './platform.js'

export interface ImageConfig {
  /** Undefined when the config names none, as artifacts' do not. */
  readonly platform: Platform | undefined
  /** One for each layer of the manifest, base first; empty when the config has none. */
  readonly diffIds: readonly DiffId[]
}

export const noConfig: ImageConfig = Object.freeze({ platform: undefined, diffIds: [] })

/** OCI image-spec config.md, as far as a file system needs it. Throws PROTOCOL or LIMIT. */
export function parseConfig(bytes: Buffer, what = 'the image config'): ImageConfig {
  const document = parseObject(bytes, what)
  const rootfs = document['rootfs']
  const listed = isObject(rootfs) ? (rootfs['diff_ids'] ?? []) : []
  if (!Array.isArray(listed)) throw new RegistryFsError('PROTOCOL', `${what}: its diff_ids are not a list`)
  if (listed.length > maxLayers) {
    throw new RegistryFsError(
      'LIMIT',
      `${what}: ${String(listed.length)} diff_ids, more than ${String(maxLayers)}`,
    )
  }
  const diffIds = listed.map((value: unknown) => {
    const digest = typeof value === 'string' ? tryParseDigest(value) : undefined
    if (digest === undefined)
      throw new RegistryFsError('PROTOCOL', `${what}: one of its diff_ids is malformed`)
    return digest as string as DiffId
  })
  return Object.freeze({ platform: parseOfferedPlatform(document), diffIds: Object.freeze(diffIds) })
}
