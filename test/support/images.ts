import { gzipSync } from 'node:zlib'
import type { Descriptor } from '../../src/registry/descriptor.js'
import * as mediaTypes from '../../src/registry/media-types.js'
import { digestOf, type Digest, type DiffId } from '../../src/util/digest.js'

export interface Layer {
  /** As stored in a registry. */
  readonly bytes: Buffer
  readonly mediaType: string
  /** Of the tar, for the config; the digest of `bytes` unless told. */
  readonly diffId?: DiffId
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ImageContents {
  readonly layers: readonly Layer[]
  /** Fields to add to the config, or to put in place of ours. */
  readonly config?: Readonly<Record<string, unknown>>
  /** `linux/amd64` unless told. */
  readonly platform?: string
  /** Docker's schema 2 instead of OCI. */
  readonly docker?: boolean
}

export interface PackedImage {
  readonly digest: Digest
  readonly mediaType: string
  readonly manifest: Buffer
  readonly config: Descriptor
  /** Base first. */
  readonly layers: readonly Descriptor[]
  readonly layerDigests: readonly Digest[]
  /** Config and layers. */
  readonly blobs: readonly Buffer[]
}

export interface IndexMember {
  readonly image: Pick<PackedImage, 'digest' | 'mediaType' | 'manifest'>
  /** `os/architecture[/variant]`; undefined leaves the field out. */
  readonly platform?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** A layer of this tar, compressed with gzip. */
export function gzipLayer(tar: Buffer, level = 6): Layer {
  return {
    bytes: gzipSync(tar, { level }),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    diffId: diffIdOf(tar),
  }
}

/** A layer of this tar as it is. */
export function tarLayer(tar: Buffer): Layer {
  return { bytes: tar, mediaType: 'application/vnd.oci.image.layer.v1.tar', diffId: diffIdOf(tar) }
}

export function diffIdOf(tar: Buffer): DiffId {
  return digestOf(tar) as string as DiffId
}

/** Config and manifest of an image with these layers. */
export function imageOf(contents: ImageContents): PackedImage {
  const { layers, docker = false } = contents
  const config = Buffer.from(
    JSON.stringify({
      ...platformField(contents.platform ?? 'linux/amd64'),
      rootfs: { type: 'layers', diff_ids: layers.map(({ bytes, diffId }) => diffId ?? digestOf(bytes)) },
      config: {},
      ...contents.config,
    }),
  )
  const configType = docker
    ? 'application/vnd.docker.container.image.v1+json'
    : 'application/vnd.oci.image.config.v1+json'
  const mediaType = docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest
  const configDescriptor = describe(config, configType)
  const layerDescriptors = layers.map((layer) => describe(layer.bytes, layer.mediaType, layer.annotations))
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, config: configDescriptor, layers: layerDescriptors }),
  )
  return {
    digest: digestOf(manifest),
    mediaType,
    manifest,
    config: configDescriptor,
    layers: layerDescriptors,
    layerDigests: layerDescriptors.map(({ digest }) => digest),
    blobs: [config, ...layers.map(({ bytes }) => bytes)],
  }
}

/** An OCI index of these images. */
export function indexOf(members: readonly IndexMember[]): { bytes: Buffer; mediaType: string } {
  const manifests = members.map(({ image, platform, annotations }) => ({
    ...describe(image.manifest, image.mediaType, annotations),
    ...(platform === undefined ? {} : { platform: platformField(platform) }),
  }))
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }))
  return { bytes, mediaType: mediaTypes.ociIndex }
}

function describe(
  bytes: Buffer,
  mediaType: string,
  annotations: Readonly<Record<string, string>> = {},
): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length, annotations }
}

function platformField(platform: string): Record<string, string> {
  const [os = '', architecture = '', variant] = platform.split('/')
  return variant === undefined ? { os, architecture } : { os, architecture, variant }
}
